"""Output: the file or folder that a user names for a result."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ._storage.files import replacing
from ._terminal import stdout_is_closed
from .errors import ConfigurationError

#: Seconds that a FIFO's reader has to come.
PATIENCE = 5.0

# What is wrong with a path, and not with the machine.
_OF_THE_PATH = {
    errno.EACCES,
    errno.EBADF,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENODEV,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENXIO,
    errno.EPERM,
    errno.EROFS,
    errno.ETXTBSY,
}


@contextmanager
def written(path: Path | None) -> Iterator[TextIO]:
    """Give a file of text to write, UTF-8; a regular one is there once the block is left.

    Parameters
    ----------
    path : Path or None
        None, or ``-``, for stdout. A regular file, or a new one, is replaced whole, and where it
        is a link, what it points to; a character device, a FIFO or a descriptor, such as
        /dev/stdout, is written into.

    Raises
    ------
    ConfigurationError
        If it is none of these or cannot be written.
    """
    descriptor = 1 if path is None or path == Path("-") else _descriptor(path)
    if path is None or descriptor == 1:
        if stdout_is_closed():
            raise OSError("stdout is closed, so the result has nowhere to go.")
        yield sys.stdout
    elif descriptor is not None or _is_stream(path):
        handle = _open_stream(path) if descriptor is None else _duplicate(path, descriptor)
        with open(handle, "w", encoding="utf-8") as file:
            yield file
    else:
        with (
            replaced(path) as temporary,
            open(temporary, "w", encoding="utf-8") as file,
        ):
            yield file


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a temporary file to write, which then takes a regular file's place, or is a new one.

    Parameters
    ----------
    path : Path
        Where it is a link, what it points to is replaced, and the link stays.

    Raises
    ------
    ConfigurationError
        If something else is there, the folder is missing, or it cannot be written.
    """
    kind = _kind(path)
    if kind is not None and not stat.S_ISREG(kind):
        raise ConfigurationError(
            f"{path} is {_named(kind)}, which is not replaced; name a file, or a new one."
        )
    target = Path(os.path.realpath(path))
    folder = target.parent if path.is_symlink() else path.parent
    if not folder.is_dir():
        raise ConfigurationError(f"There is no folder {folder} for {path}; make it first.")
    entered = False
    try:
        with replacing(target) as temporary:
            entered = True
            yield temporary
            entered = False
    except OSError as error:
        if entered:  # what is done with it failed, and says so itself
            raise
        raise _refused(path, error) from None


def usable_folder(path: Path) -> Path:
    """Return a folder that can be made, or written to where it is there already.

    Raises
    ------
    ConfigurationError
        If it cannot.
    """
    nearest = next(each for each in (path, *path.absolute().parents) if os.path.lexists(each))
    if not nearest.is_dir():
        raise ConfigurationError(f"{path} is, or lies below, a file; name another folder.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{path} cannot be written; name another folder.")
    return path


def _kind(path: Path) -> int | None:
    """Return the mode of what is there, None where nothing is."""
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise ConfigurationError(
            f"{path} cannot be written ({path.parent} is no folder); name another file."
        ) from None
    except OSError as error:
        raise _refused(path, error) from None


def _is_stream(path: Path) -> bool:
    kind = _kind(path)
    return kind is not None and (stat.S_ISCHR(kind) or stat.S_ISFIFO(kind))


def _descriptor(path: Path) -> int | None:
    """Return which of this process's descriptors a path is, through links; None for others."""
    own = re.compile(f"/proc/{os.getpid()}(/task/[0-9]+)?/fd/([0-9]+)")
    name = os.fspath(path)
    for _ in range(40):  # as many links as Linux follows
        name = os.path.join(os.path.realpath(os.path.dirname(name)), os.path.basename(name))
        found = own.fullmatch(name)
        if found:
            return int(found[2])
        if not os.path.islink(name):
            break
        name = os.path.join(os.path.dirname(name), os.readlink(name))
    return None


def _duplicate(path: Path, descriptor: int) -> int:
    try:
        return os.dup(descriptor)
    except OSError as error:
        raise _refused(path, error) from None


def _open_stream(path: Path) -> int:
    """Open a device or FIFO for writing, the latter once it has a reader."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
            break
        except OSError as error:
            if error.errno != errno.ENXIO or not path.is_fifo():
                raise _refused(path, error) from None
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"{path} is a FIFO that nobody reads; start its reader first."
                ) from None
        time.sleep(0.05)
    os.set_blocking(handle, True)
    return handle


def _refused(path: Path, error: OSError) -> Exception:
    """Return what to raise for an error at a path, or at a temporary file beside it."""
    if error.errno in _OF_THE_PATH:
        return ConfigurationError(
            f"{path} cannot be written ({error.strerror}); name another file."
        )
    return OSError(error.errno, error.strerror, os.fspath(path)) if error.errno else error


def _named(kind: int) -> str:
    names = {
        stat.S_IFDIR: "a folder",
        stat.S_IFBLK: "a block device",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFIFO: "a FIFO",
    }
    return names.get(stat.S_IFMT(kind), "no regular file")
