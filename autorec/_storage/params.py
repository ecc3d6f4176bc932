"""Gluon's .params files, written and read in Python.

MXNet's own parser trusts what it reads, and a crafted header crashes it; its writer may leave a
short file without an error. What is here writes the same bytes, and checks all of them before
anything is allocated: dense arrays of float32, by name, and nothing else.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy
from numpy.typing import NDArray

from .._arrays import AnyArray

if TYPE_CHECKING:
    from .._arrays import Array

_FILE, _ARRAY, _LEGACY_ARRAY = 0x112, 0xF993FACA, 0xF993FAC9
_DENSE, _CPU, _FLOAT32 = 0, 1, 0


def write_params(file: IO[bytes], arrays: Mapping[str, Array | AnyArray]) -> None:
    """Write arrays by name, as ``mx.npx.save`` does.

    Parameters
    ----------
    file : file
    arrays : mapping of str to ndarray
        Of NumPy or MXNet.
    """
    file.write(struct.pack("<3Q", _FILE, 0, len(arrays)))
    for array in arrays.values():
        values = numpy.asarray(array if isinstance(array, numpy.ndarray) else array.asnumpy())
        values = numpy.ascontiguousarray(values, dtype="<f4")
        file.write(struct.pack(f"<IiI{values.ndim}q", _ARRAY, _DENSE, values.ndim, *values.shape))
        file.write(struct.pack("<3i", _CPU, 0, _FLOAT32))
        file.write(values.data)
    file.write(struct.pack("<Q", len(arrays)))
    for name in arrays:
        file.write(struct.pack("<Q", len(name.encode())) + name.encode())


@dataclass(frozen=True)
class StoredParameter:
    """An array of float32 in a .params file, its header checked and its values not yet read."""

    shape: tuple[int, ...]
    _file: IO[bytes]
    _start: int

    def read(self) -> NDArray[numpy.float32]:
        """Return the array."""
        values = numpy.empty(self.shape, "<f4")
        self._file.seek(self._start)
        self._file.readinto(values.data.cast("B"))  # type: ignore[attr-defined]
        return values


def stored_params(file: IO[bytes]) -> dict[str, StoredParameter]:
    """Return the arrays of a .params file by name, to be read while it is open.

    Raises
    ------
    ValueError
        If it is damaged, or holds anything but named dense arrays of float32.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(0)

    def take(form: str) -> tuple[int, ...]:
        length = struct.calcsize(form)
        return struct.unpack(form, file.read(_within(file, length, size)))

    magic, _, count = take("<3Q")
    if magic != _FILE:
        raise ValueError("no file of Gluon's parameters")
    arrays = []
    for _ in range(_within(file, count, size)):
        magic, kind, dimensions = take("<IiI")
        if magic not in (_ARRAY, _LEGACY_ARRAY) or kind != _DENSE or not 1 <= dimensions <= 32:
            raise ValueError("an array is not dense, or of an unknown format")
        shape = take(f"<{dimensions}q")
        *_, flag = take("<3i")
        if flag != _FLOAT32 or min(shape) < 1:
            raise ValueError("an array is empty, or not of float32")
        arrays.append(StoredParameter(shape, file, file.tell()))
        file.seek(_within(file, 4 * math.prod(shape), size), 1)
    names = []
    (count,) = take("<Q")
    for _ in range(_within(file, count, size)):
        (length,) = take("<Q")
        names.append(file.read(_within(file, length, size)).decode())
    if file.tell() != size or len(set(names)) != len(arrays) or len(names) != len(arrays):
        raise ValueError("its names are not one for each array")
    return dict(zip(names, arrays))


def _within(file: IO[bytes], length: int, size: int) -> int:
    """Return a length in bytes, or a number of things of a byte at least, that is left to read."""
    if length > size - file.tell():
        raise ValueError("it ends too early")
    return length
