"""NumPy's .npz files, written by NumPy's rules and read as if a stranger had made them.

`numpy.load` allocates what a header asks for, runs Python's parser on it, and unpacks without end.
Here all headers are read first; whoever asks sees types and shapes before there is any array.
"""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, Literal
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy
from numpy.typing import NDArray

from .._arrays import AnyArray

#: What is larger is not packed, so that no file unpacks to much more than this or its own size.
LARGEST_PACKED = 1 << 26
#: How many times its size a larger one may unpack to: 0.1.0 packed large ones, too.
_RATIO = 32
_HEADER = re.compile(
    rb"\{'descr': '([<|][biuf]\d)', 'fortran_order': (False|True), "
    rb"'shape': \(((?:\d{1,18}, )*\d{1,18},?|)\), \} *\n"
)


def write_npz(file: IO[bytes], arrays: Mapping[str, AnyArray], *, packed: bool = False) -> None:
    """Write arrays by name.

    Parameters
    ----------
    file : file
        Need not be one that can seek.
    arrays : mapping of str to ndarray
        Of numbers.
    packed : bool
        Whether to compress them, where they are not large.
    """
    packed = packed and sum(each.nbytes for each in arrays.values()) <= LARGEST_PACKED
    with ZipFile(file, "w", ZIP_DEFLATED if packed else ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                numpy.save(member, array, allow_pickle=False)


@dataclass(frozen=True)
class StoredArray:
    """An array in an .npz file, its header checked and its values not yet read."""

    dtype: numpy.dtype[numpy.generic]
    shape: tuple[int, ...]
    _order: Literal["C", "F"]
    _archive: ZipFile
    _info: ZipInfo
    _start: int

    def read(self) -> NDArray[Any]:
        """Return the array.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        values = numpy.empty(math.prod(self.shape), self.dtype)
        view, place = values.view(numpy.uint8).data, 0
        try:
            with self._archive.open(self._info) as member:
                member.read(self._start)
                while block := member.read(1 << 20):
                    view[place : place + len(block)] = block
                    place += len(block)
        except _DAMAGE as error:
            raise ValueError(f"{self._info.filename!r} is damaged ({error})") from error
        if place != len(view):
            raise ValueError(f"{self._info.filename!r} ends too early")
        return values.reshape(self.shape, order=self._order)


def stored_arrays(file: IO[bytes]) -> dict[str, StoredArray]:
    """Return the arrays of an .npz file by name, to be read while it is open.

    Raises
    ------
    ValueError
        If it is none, an array is not of plain numbers, has another size than its header says, or
        all of them are far larger than the file.
    """
    found, size = {}, file.seek(0, 2)
    try:
        archive = ZipFile(file)
        members = archive.infolist()
        if sum(info.file_size for info in members) > max(LARGEST_PACKED, _RATIO * size):
            raise ValueError("it unpacks to far more than its size")
        for info in members:
            name = info.filename[: -len(".npy")]
            if info.filename != f"{name}.npy" or name in found:
                raise ValueError(f"it holds {info.filename!r:.60}, or holds it twice")
            if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
                raise ValueError(f"{name!r:.60} is packed in a way that NumPy does not use")
            found[name] = _stored(archive, info, name)
    except _DAMAGE as error:
        raise ValueError(f"no arrays that autorec writes: {error}") from error
    return found


def _stored(archive: ZipFile, info: ZipInfo, name: str) -> StoredArray:
    with archive.open(info) as member:
        start = member.read(10)
        if start[:8] != b"\x93NUMPY\x01\x00" or len(start) < 10:
            raise ValueError(f"{name!r:.60} is no array of plain numbers")
        (length,) = struct.unpack("<H", start[8:])
        header = _HEADER.fullmatch(member.read(length))
    if not header:
        raise ValueError(f"{name!r:.60} is no array of plain numbers")
    kind, order, sizes = (part.decode() for part in header.groups())
    dtype = numpy.dtype(kind)
    shape = tuple(int(each) for each in sizes.split(",") if each.strip())
    if len(shape) > 32 or math.prod(shape) * dtype.itemsize + 10 + length != info.file_size:
        raise ValueError(f"{name!r:.60} has another size than its header says")
    return StoredArray(dtype, shape, "F" if order == "True" else "C", archive, info, 10 + length)


# What a damaged or crafted archive has Python's zipfile raise; some are RuntimeErrors.
_DAMAGE = (
    BadZipFile, zlib.error, EOFError, ValueError, TypeError, LookupError, RuntimeError,
    OverflowError, OSError, struct.error,
)  # fmt: skip
