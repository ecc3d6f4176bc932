"""Sources: files, pipes and standard input as text that can be read again, and has an end."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import re
import select
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from ..errors import RatingsError

#: Bytes of text, unpacked: 100 million ratings, Netflix's number, take 2.5 to 3 GB.
MAX_BYTES = 4 * 2**30
#: Characters of a line.
MAX_LINE = 2**20
#: How many times its size a gzipped file may grow; ratings grow 3 to 10 times.
MAX_GROWTH = 250
#: Seconds that a FIFO may take until something is written to it.
PATIENCE = 10.0
#: Bytes at a time, and of a pipe those kept in memory.
BLOCK, IN_MEMORY = 2**18, 2**26

_TOO_LARGE = (
    f"It has more than {MAX_BYTES:,} bytes of text; give a table of this size as a DataFrame or a "
    "sparse matrix."
)
_BOMB = (
    f"It unpacks to more than {MAX_GROWTH} times its size, as no ratings do; unpack it if it is "
    "a table all the same."
)
_OPEN_ALREADY = re.compile(r"-|/dev/stdin|/dev/fd/([0-9]{1,9})")


@contextmanager
def opened(path: str | os.PathLike[str], encoding: str = "utf-8") -> Iterator[IO[bytes]]:
    """Open a file that can be read again from its beginning.

    What is no regular file, a pipe for example, is read once, whole, and kept for that.

    Parameters
    ----------
    path : path
        ``-`` and ``/dev/stdin`` are what standard input still has.
    encoding : str
        Of the text, for a look at the beginning of a long pipe.

    Raises
    ------
    RatingsError
        For a folder, a device, a FIFO to which nobody writes, or one that has too much.
    """
    number = _number(path)
    if number is None:
        # A FIFO that nobody writes to would be waited for without an end.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    else:
        try:
            handle = os.dup(number)
        except OSError as error:
            raise FileNotFoundError(error.errno, error.strerror) from error
    mode = os.fstat(handle).st_mode
    if stat.S_ISDIR(mode):
        os.close(handle)
        raise RatingsError("It cannot be read, since it is a folder; name a file.")
    with open(handle, "rb", buffering=0) as file:
        if stat.S_ISREG(mode) and number is None:
            yield file
            return
        # A terminal is typed at, and /dev/null is empty.
        ends = os.isatty(handle) or os.fstat(handle).st_rdev == os.makedev(1, 3)
        if stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and not ends):
            raise RatingsError("It is a device, which has no end; name a file.")
        begun = b""
        if number is None:
            begun = _wait_for_writer(handle) if stat.S_ISFIFO(mode) else begun
            os.set_blocking(handle, True)
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as kept:
            kept.write(begun)
            _keep(file, kept, encoding)
            yield kept


def name_of(path: str | os.PathLike[str]) -> str:
    """Return what a source is called in messages."""
    return "Standard input" if _number(path) == 0 else os.fspath(path)


class Text(io.TextIOBase):
    """A file's text from its beginning, unpacked where it is gzipped.

    Parameters
    ----------
    file : binary file
        From `opened`.
    encoding : str

    Raises
    ------
    RatingsError
        While it is read, where it is too large, a line has no end, or a character is NUL, which no
        text has and which pandas takes for the end of a field.
    """

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        file.seek(0)
        packed = file.read(2) == b"\x1f\x8b"
        size = file.seek(0, os.SEEK_END)
        self._most = max(MAX_GROWTH * size, 2**26) if packed else MAX_BYTES
        file.seek(0)
        self._file = cast(IO[bytes], gzip.GzipFile(fileobj=file, mode="rb")) if packed else file
        encoding = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._bytes, self._line, self._done = 0, 0, False

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def read(self, size: int | None = -1) -> str:
        """Return some text; none at the end, or all that is left for a size below 0."""
        if size is None or size < 0:
            return "".join(iter(lambda: self.read(BLOCK), ""))
        text = ""
        while not text and not self._done:
            block = self._file.read(max(size, BLOCK))
            self._done = not block
            self._bytes += len(block)
            if self._bytes > min(MAX_BYTES, self._most):
                raise RatingsError(_TOO_LARGE if self._bytes > MAX_BYTES else _BOMB)
            text = self._decoder.decode(block, final=self._done)
        self._check(text)
        return text

    def head(self) -> str:
        """Return whole lines from the beginning, at least one where there is one."""
        text = ""
        while not re.search(r"[\r\n].", text, re.DOTALL) and (more := self.read(BLOCK)):
            text += more
        return text if self._done else text[: max(text.rfind("\n"), text.rfind("\r")) + 1]

    def _check(self, text: str) -> None:
        if "\0" in text:
            raise RatingsError("It has NUL characters, so it is no text; name its encoding.")
        end = max(text.rfind("\n"), text.rfind("\r"))
        self._line = self._line + len(text) if end < 0 else len(text) - end
        if self._line > MAX_LINE:
            raise RatingsError(
                f"It has a line of more than {MAX_LINE:,} characters; give it a rating a line."
            )


def is_open_already(path: str | os.PathLike[str]) -> bool:
    """Return whether it is standard input, or another that the process has been given open."""
    return _number(path) is not None


def _number(path: str | os.PathLike[str]) -> int | None:
    match = _OPEN_ALREADY.fullmatch(os.fspath(path))
    return int(match[1] or 0) if match else None


def _keep(file: IO[bytes], kept: IO[bytes], encoding: str) -> None:
    """Copy what is left of a file to another, as long as it may be a table."""
    looked = False
    while block := file.read(BLOCK):
        kept.write(block)
        size = kept.tell()
        if size > MAX_BYTES:
            raise RatingsError(_TOO_LARGE)
        if not looked and size > 4 * MAX_LINE:
            Text(kept, encoding).head()  # refuses what is no text, or one line
            kept.seek(0, os.SEEK_END)
            looked = True


def _wait_for_writer(handle: int) -> bytes:
    """Return what a FIFO first has, perhaps nothing yet, once something writes to it."""
    poll, end = select.poll(), time.monotonic() + PATIENCE
    poll.register(handle, select.POLLIN)
    while time.monotonic() < end:
        ready = poll.poll(100)
        try:
            first = os.read(handle, BLOCK)
        except BlockingIOError:  # it is open for writing
            return b""
        if first or ready:
            return first
    raise RatingsError(
        f"It is a FIFO to which nothing was written for {PATIENCE:g} s; start what writes to it."
    )
