"""The command line: ``autorec train``, ``autorec reproduce``, and those of `model_commands`."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import typer
import typer.core
from tqdm import tqdm

from . import model_commands, reproduce_command, train_command
from .errors import AutorecError
from .launch import launch


class _Commands(typer.core.TyperGroup):
    """The commands, which Ctrl-C ends with a word and exit code 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            print(f"\nautorec: stopped{stop}", file=sys.stderr)
            sys.exit(130)


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="AutoRec: predict ratings with an autoencoder.",
)

# In the order of the help.
train_command.register(app)


@app.command("launch")
def launch_command(
    arguments: list[str] = typer.Argument(
        ..., metavar="-- train ...", help="What each of them runs: autorec train, as alone."
    ),
    workers: int = typer.Option(2, min=1, help="Processes that train."),
    servers: int = typer.Option(1, min=1, help="Processes that add up gradients."),
) -> None:
    """Try out training over several machines, by several processes on this one.

    Starts a scheduler, servers and workers that speak over loopback. Each line that they print
    begins with who prints it. If one fails, all are ended.
    """
    sys.exit(launch(arguments, workers, servers))


reproduce_command.register(app)
model_commands.register(app)


def main() -> None:
    """Run the command line, see `run`."""
    try:
        run()
    except SystemExit as end:
        joined = sys.modules.get(f"{__package__}.workers")
        if end.code and joined:
            joined.leave(end.code)
        raise


def run() -> None:
    """Run the command line, and exit.

    Exit codes: 0; 2 for usage, input or settings that cannot be used; 1 for what the machine could
    not do, a full disk for example; 130 for Ctrl-C.
    """
    command = typer.main.get_command(app)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _say(str(message))
        try:
            sys.exit(command.main(standalone_mode=False))
        except AutorecError as error:
            _say(str(error))
            sys.exit(2)
        except BrokenPipeError:  # of "autorec ... | head", which has what it wanted
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except (OSError, MemoryError, RuntimeError) as error:  # MXNet's are RuntimeErrors
            lines = str(error).strip().splitlines() or [type(error).__name__]
            _say(lines[-1])
            sys.exit(1)
        except Exception as error:
            # Typer's errors of usage, which have no public base class.
            if not hasattr(error, "format_message"):
                raise
            message = error.format_message()
            if message.startswith("Usage"):
                print(message, file=sys.stderr)
            else:
                _say(f"{message.rstrip('.')}; see autorec --help.")
            sys.exit(2)


def _say(message: str) -> None:
    tqdm.write(f"autorec: {message}", file=sys.stderr)  # above a bar, where there is one
