"""Leftovers: what killed processes left half done in a folder, not what others still do."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(folder: Path, wait: bool = True) -> Iterator[bool]:
    """Hold a folder, which one process can at a time, and which ends with the process.

    Nothing is written for it.

    Parameters
    ----------
    folder : Path
    wait : bool
        Whether to wait for one that holds it now.

    Yields
    ------
    bool
        Whether it is held: not where another process has it, nor on a file system that cannot
        tell, as NFS may not.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yes = True
        except OSError:
            yes = False
        yield yes
    finally:
        os.close(handle)


def sweep_folders(folder: Path, prefix: str) -> None:
    """Remove folders that `tempfile` named and that nobody holds.

    What cannot be removed, another user's for example, stays.
    """
    for name in _made_by_tempfile(folder, prefix, ""):
        try:
            with held(folder / name, wait=False) as abandoned:
                if abandoned:
                    shutil.rmtree(folder / name, ignore_errors=True)
        except OSError:  # a file, a link, not ours to open, or gone meanwhile
            continue


def sweep_files(path: Path) -> None:
    """Remove what `files.replacing` has not brought to its end; the caller holds the folder."""
    for name in _made_by_tempfile(path.parent, f".{path.name}.", path.suffix):
        (path.parent / name).unlink()


def _made_by_tempfile(folder: Path, prefix: str, suffix: str) -> list[str]:
    pattern = f"{re.escape(prefix)}[a-z0-9_]{{8}}{re.escape(suffix)}"
    return [name for name in os.listdir(folder) if re.fullmatch(pattern, name)]
