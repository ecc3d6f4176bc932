"""Terminal: what the command line says on stderr, and how it shows the text of strangers."""

from __future__ import annotations

import io
import os
import re
import sys
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# What a terminal acts upon instead of showing it: C0 and C1, marks that turn the direction of
# writing, separators of lines; and halves of characters, which no encoding has.
_ACTS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff\U000e0000-\U000e007f]"
)


def shown(text: object) -> str:
    """Return text for a terminal, on one line: what would act upon it is escaped, as in Python.

    Examples
    --------
    >>> shown("film \\x1b[31m")
    'film \\\\x1b[31m'
    """
    return _ACTS.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def counted(number: int, noun: str) -> str:
    """Return a number with what it counts.

    Examples
    --------
    >>> counted(1, "epoch"), counted(1200, "epoch")
    ('1 epoch', '1,200 epochs')
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"


def tell(text: str) -> None:
    """Write a line to stderr, above a progress bar where there is one."""
    tqdm.write(shown(text), file=sys.stderr)


def say(message: str) -> None:
    """Write a line to stderr that begins with who says it."""
    tell(f"autorec: {message}")


def note(text: str) -> None:
    """Write a line to stdout beside the work, which goes on if the reader has left."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        leave_stdout()


def progress_bar(what: str, total: float | None, *, done: int = 0, hidden: bool = False) -> tqdm:
    """Return a progress bar on stderr: what is done, what is said of it, and the time.

    What is said comes before the bar, which is what gives way where a terminal is narrow.

    Parameters
    ----------
    what : str
        What is done; or a format of tqdm's that begins with that.
    total : float or None
        None where it is not known yet.
    done : int
        What is done already.
    hidden : bool
        Whether to show nothing.
    """
    start = what if "{" in what else f"{what} {{n_fmt}}/{{total_fmt}}"
    look = start + "{postfix} |{bar}| {elapsed}<{remaining}"
    return tqdm(total=total, initial=done, disable=hidden, bar_format=look, dynamic_ncols=True)


def open_streams() -> None:
    """Have a process begin with streams that can be written to, and files get no number of these.

    A stream that is closed becomes /dev/null. What stdout's encoding lacks is escaped, and what
    stderr cannot take is left out: nobody would hear of it, and a run does not end for its bar.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(_Forgiving(2, "w", closefd=False)),
        encoding=sys.stderr.encoding,
        errors="backslashreplace",
        line_buffering=True,
    )


def stdout_is_closed() -> bool:
    """Return whether the process began without stdout."""
    return sys.__stdout__ is None


def leave_stdout() -> None:
    """Have Python's exit find nothing to write to stdout, where that takes no more."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class _Forgiving(io.FileIO):
    def write(self, data: ReadableBuffer) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes
