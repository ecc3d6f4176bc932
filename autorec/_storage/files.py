"""Files: written whole or not at all, on the disk for sure, and told apart by checksum."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Callable, TypedDict

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file to write, which becomes `path` once the block is left without error.

    Whatever happens before that, a crash or a full disk, what was at `path` is still there.

    Parameters
    ----------
    path : Path
        In a folder that exists.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{path.suffix}")
    temporary.open("xb").close()  # open, unlike tempfile, lets the umask have its way
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class Facts(TypedDict):
    """What a file is known by: its size in bytes, and its SHA-256 in hexadecimal."""

    size: int
    sha256: str


def write_checked(path: Path, write: Callable[[IO[bytes]], object]) -> Facts:
    """Write a file, bring it to the disk, and read it back.

    Parameters
    ----------
    path : Path
    write : callable
        Given a file to write bytes to, from its beginning to its end.

    Returns
    -------
    Facts

    Raises
    ------
    OSError
        If it cannot be written, or what is there afterwards is not what was written.
    """
    with path.open("wb", buffering=0) as raw:
        sink = _Sink(raw)
        with io.BufferedWriter(sink) as file:
            write(file)
        os.fsync(raw.fileno())
    with path.open("rb") as file:
        found: Facts = {"size": os.fstat(file.fileno()).st_size, "sha256": sha256(file)}
    if found != {"size": sink.size, "sha256": sink.digest.hexdigest()}:
        raise OSError(f"{path} does not hold what was written to it; check the disk.")
    return found


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(file: IO[bytes]) -> str:
    """Return the SHA-256 of what is left to read in a file, in hexadecimal."""
    digest = hashlib.sha256()
    for block in iter(lambda: file.read(1 << 20), b""):
        digest.update(block)
    return digest.hexdigest()


class _Sink(io.RawIOBase):
    """A file that takes the checksum of what is written, on its way."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self.digest, self.size = hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        count = self._file.write(data) or 0
        self.digest.update(memoryview(data)[:count])
        self.size += count
        return count
