"""The command ``autorec``, and ``python -m autorec``: small, so that Ctrl-C is heard at once."""

from __future__ import annotations

import os
import signal
from contextlib import suppress


def main() -> None:
    """Run the command line, see `cli.run`; Ctrl-C at any moment is a line and exit code 130."""
    # A process that was told to ignore Ctrl-C, as those that a shell puts in the background, does.
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heard:
        signal.signal(signal.SIGINT, _stop)
    from ._terminal import open_streams
    from .cli.app import main as run_commands

    open_streams()
    try:
        if heard:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        run_commands()
    except KeyboardInterrupt:  # a second one, while the first was answered
        _stop()
    finally:
        if heard:  # Python and MXNet clear up, and what was asked for is done
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _stop(*_: object) -> None:
    """End the process where it is, for an exception that is raised in an import may be lost."""
    with suppress(OSError):
        os.write(2, b"\nautorec: stopped\n")
    os._exit(130)


if __name__ == "__main__":
    main()
