"""The command line: its commands, and what is said and returned where one fails."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import typer

from .. import __version__
from .._terminal import leave_stdout, say, tell
from ..distributed.launch import launch
from ..errors import AutorecError
from . import compare as compare_command
from . import data as data_commands
from . import doctor as doctor_command
from . import model as model_commands
from . import reproduce as reproduce_command
from . import train as train_command
from . import tune as tune_command

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"autorec {__version__}")
        raise typer.Exit


@app.callback()
def autorec(
    version: bool = typer.Option(
        False, "--version", is_eager=True, callback=_say_version, help="Say the version and exit."
    ),
) -> None:
    """AutoRec: predict ratings with an autoencoder."""


# In the order of the help.
train_command.register(app)
tune_command.register(app)
compare_command.register(app)


@app.command("launch")
def launch_command(
    arguments: list[str] = typer.Argument(
        ..., metavar="-- train ...", help="What each of them runs: autorec train, as by itself."
    ),
    workers: int = typer.Option(2, min=1, help="Processes that train."),
    servers: int = typer.Option(1, min=1, help="Processes that add up gradients."),
) -> None:
    """Try out training over several machines, on this one.

    Starts a scheduler, servers and workers that communicate over loopback. Each line of output
    begins with the process that printed it. If one fails, all are ended.
    """
    sys.exit(launch(arguments, workers, servers))


data_commands.register(app)
reproduce_command.register(app)
model_commands.register(app)
doctor_command.register(app)


def main() -> None:
    """Run the command line, see `run`."""
    try:
        run()
    except SystemExit as end:
        joined = sys.modules.get("autorec.distributed.workers")
        if end.code and joined:
            joined.leave(end.code)
        raise


def run() -> None:
    """Run the command line, and exit.

    Exit codes: 0; 2 for usage, input or settings that cannot be used; 1 for what the machine could
    not do, a full disk for example; 130 for Ctrl-C.
    """
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: say(str(message))
        code = _answer(_invoke) or _answer(sys.stdout.flush)
        leave_stdout()
    sys.exit(code)


def _invoke() -> None:
    command: Any = typer.main.get_command(app)
    # Not by its `main`, which has answers of its own to Ctrl-C and to readers that have enough. Nor
    # by no_args_is_help: before 8.2, Click took a command such as "@" for no command then.
    with command.make_context("autorec", sys.argv[1:] or ["--help"]) as context:
        command.invoke(context)


def _answer(do: Callable[[], None]) -> int:
    """Run something, report what went wrong, and return the exit code."""
    try:
        do()
        return 0
    except SystemExit as end:
        return int(end.code or 0)
    except typer.Exit as end:  # of --help
        return end.exit_code
    except KeyboardInterrupt as stop:
        tell("")  # the terminal has shown ^C
        say(f"stopped{stop}")
        return 130
    except AutorecError as error:
        say(str(error))
        return 2
    except BrokenPipeError:  # of "autorec ... | head", which has what it wanted
        return 0
    except (OSError, MemoryError, RuntimeError) as error:  # MXNet's are RuntimeErrors
        lines = str(error).strip().splitlines() or [type(error).__name__]
        say(lines[-1])
        return 1
    except Exception as error:
        # Typer's errors of usage, which have no public base class.
        if not hasattr(error, "format_message"):
            raise
        message = error.format_message()
        if message.startswith("Usage"):
            print(message, file=sys.stderr)
        else:
            context = getattr(error, "ctx", None)
            asked = "autorec" if context is None else context.command_path
            say(f"{message.rstrip('.')}; see {asked} --help.")
        return 2
