"""Checkpoint folder: the three files of a checkpoint, written whole or not at all, and checked.

arrays.npz; state.json, which says what the arrays are and holds all that is none; manifest.json,
with the checksums of both. Nothing is pickled. The folder is written under another name, and
renaming it is what makes it a checkpoint: killed at any moment, a run leaves whole ones.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy

from .errors import DataCorruptError
from .files import sha256, sync_folder

#: What this release writes, and all that it reads.
FORMAT = 1

_ARRAYS, _STATE, _MANIFEST = "arrays.npz", "state.json", "manifest.json"


def write_folder(path: Path, body: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write a checkpoint, in the place of one that is there.

    Parameters
    ----------
    path : Path
        The folders above it are made where they are missing.
    body : mapping
        For JSON.
    arrays : mapping of str to ndarray
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        with _written(temporary / _ARRAYS) as file:
            numpy.savez(file, **arrays)
        with _written(temporary / _STATE) as file:
            file.write(json.dumps(body, indent=1).encode())
        sums = {}
        for name in (_ARRAYS, _STATE):
            with (temporary / name).open("rb") as file:
                sums[name] = sha256(file)
        with _written(temporary / _MANIFEST) as file:
            file.write(json.dumps({"checkpoint": FORMAT, "sha256": sums}, indent=1).encode())
        sync_folder(temporary)
        remove_folder(path)
        os.rename(temporary, path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_body(path: Path) -> dict[str, Any]:
    """Return the body of a checkpoint; its arrays are checked and not read.

    Raises
    ------
    DataCorruptError
        If it is damaged, incomplete, no checkpoint or of a newer format.
    """
    sums = _manifest(path)
    with _checked(path / _ARRAYS, sums[_ARRAYS]), _checked(path / _STATE, sums[_STATE]) as file:
        body: dict[str, Any] = json.load(file)
        return body


def read_arrays(path: Path) -> dict[str, Any]:
    """Return the arrays of a checkpoint.

    Raises
    ------
    DataCorruptError
        If it is damaged, incomplete, no checkpoint or of a newer format.
    """
    # The file that is parsed is the one whose checksum was taken, not one put in its place.
    with _checked(path / _ARRAYS, _manifest(path)[_ARRAYS]) as file:
        try:
            with numpy.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except (ValueError, EOFError, BadZipFile) as error:
            raise DataCorruptError(f"{path / _ARRAYS} holds no arrays ({error}).") from error


def remove_folder(path: Path) -> None:
    """Remove a checkpoint so that no half of it is ever taken for one."""
    doomed = path.with_name(f".{path.name}.old")
    shutil.rmtree(doomed, ignore_errors=True)
    with suppress(FileNotFoundError):
        os.rename(path, doomed)
        shutil.rmtree(doomed)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed runs have left half written or half removed."""
    for path in folder.glob(".epoch-*"):
        shutil.rmtree(path)


def packed(value: Any, arrays: dict[str, Any], name: str = "", seen: Any = None) -> Any:
    """Return a value for JSON, its arrays put into `arrays` by names that tell where they were.

    Parameters
    ----------
    value
        As of `Trail.add`.
    arrays : dict
        Gets copies, as NumPy's; one that is there twice, the best weights that are also the
        last, once.
    name : str
        Of the value.
    seen : dict, optional
        Names of arrays that were met, by identity.
    """
    seen = {} if seen is None else seen
    if isinstance(value, numpy.ndarray) or hasattr(value, "asnumpy"):
        if id(value) not in seen:
            seen[id(value)] = name
            copy = numpy.array(value) if isinstance(value, numpy.ndarray) else value.asnumpy()
            arrays[name] = copy
        return {"array": seen[id(value)]}
    if isinstance(value, (Mapping, list, tuple)):
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        inside = f"{name}/" if name else ""
        parts = [[key, packed(each, arrays, f"{inside}{key}", seen)] for key, each in pairs]
        if isinstance(value, Mapping):
            return {"dict": parts}
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [part for _, part in parts]}
    return value


def unpacked(tree: Any, arrays: Mapping[str, Any]) -> Any:
    if not isinstance(tree, dict):
        return tree
    ((kind, value),) = tree.items()
    if kind == "array":
        return arrays[value]
    if kind == "dict":
        return {key: unpacked(each, arrays) for key, each in value}
    parts = [unpacked(each, arrays) for each in value]
    return tuple(parts) if kind == "tuple" else parts


def _manifest(path: Path) -> dict[str, str]:
    """Return the checksums of a checkpoint's files by name."""
    try:
        manifest = json.loads((path / _MANIFEST).read_bytes())
        number = manifest["checkpoint"]
        sums: dict[str, str] = manifest["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataCorruptError(f"{path} is no checkpoint of autorec, or is damaged.") from error
    if number != FORMAT:
        raise DataCorruptError(
            f"{path} is a checkpoint of format {number}, and this release of autorec reads format "
            f"{FORMAT}; use the release that wrote it."
        )
    if not isinstance(sums, dict) or set(sums) != {_ARRAYS, _STATE}:
        raise DataCorruptError(f"{path} is damaged: its manifest does not name its files.")
    return sums


@contextmanager
def _checked(path: Path, checksum: str) -> Iterator[IO[bytes]]:
    """Open a file whose checksum is that."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataCorruptError(f"{path} is missing, so its checkpoint is damaged.") from error
    with file:
        if sha256(file) != checksum:
            raise DataCorruptError(f"{path} is damaged: its checksum is not the manifest's.")
        file.seek(0)
        yield file


@contextmanager
def _written(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file, which is on the disk once the block is left."""
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
