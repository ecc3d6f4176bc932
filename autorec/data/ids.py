"""Ids: those asked for, found among those of a table, one by one and by value."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable
from numbers import Integral
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._arrays import Ids
from ..errors import RatingsError

Unknown = Literal["error", "fallback"]

#: A number as a file has it, in ASCII digits; int() would also take 1_0, and digits of any script.
_NUMBER = re.compile(r"[ \t]*([+-]?[0-9]{1,40})(\.[0-9]{0,40})?[ \t]*")


def places(kind: str, asked: object, known: Ids, unknown: Unknown = "error") -> NDArray[np.int64]:
    """Return the positions of ids in an id map.

    Each id is taken in the map's own type, whatever the type of those beside it:

    - among whole numbers, 42, 42.0, "42", "007" and " 42.0" are such ids; 4.5, "4x", "1_0" and
      "1e3" are not;
    - among other numbers, 4.5 and "4.5" are too;
    - among texts a text is itself, so "007" is not "7", and a number is what writes it: 42 and
      42.0 are "42";
    - among ids of several types an id is itself, and if that is not there, the number that it
      writes or the text that writes it.

    A missing value (None, NaN, NA), a list, and True and False where the table has none are never
    ids.

    Parameters
    ----------
    kind : {"user", "item"}
        What the ids are, for messages.
    asked : id or array-like of ids, shape (n,)
    known : ndarray, shape (m,)
        The map: different ids.
    unknown : {"error", "fallback"}
        Whether ids that are not in the map are an error, or have the position -1; a warning names
        one that cannot be in a map of this type.

    Returns
    -------
    ndarray of int, shape (n,)

    Raises
    ------
    RatingsError
        For what is no id, and for an id that is not in the map; named with its row, from 1.
    """
    ids = listed(kind, asked)
    found = find(ids, known)
    lost = np.flatnonzero(found < 0)
    if len(lost) == 0:
        return found
    _check(kind, ids, lost)
    type_ = _type(known)
    strange = [row for row in lost if _own(ids[row], type_) is None]
    whose = f", whose {kind} ids are {type_}" if strange else ""
    if unknown == "error":
        row = int(strange[0] if strange else lost[0])
        text = isinstance(ids[row], str) and not strange
        own = _own(ids[row], type_) if text else ids[row]
        raise RatingsError(
            f"There is no {kind} {_shown(own)} in the ratings{whose} (row {row + 1}; "
            f"{len(lost):,} unknown in all); ask for {kind}s that were in the table."
        )
    if strange:
        warnings.warn(
            f"Row {strange[0] + 1} asks for the {kind} {_shown(ids[strange[0]])}, which cannot be "
            f"in these ratings{whose}; rows that count as unknown for this: {len(strange):,} of "
            f"{len(ids):,}.",
            stacklevel=2,
        )
    return found


def find(ids: Ids, known: Ids) -> NDArray[np.int64]:
    """Return where `listed` ids stand in an id map, see `places`; -1 where they do not."""
    type_, kind = _type(known), ids.dtype.kind
    found: NDArray[np.int64] = np.full(len(ids), -1, dtype=np.int64)
    if len(ids) == 0 or len(known) == 0:
        return found
    # The first ways are the fast ones, for ids of one type.
    if kind in "iu" and kind == known.dtype.kind:
        return np.asarray(pd.Index(known).get_indexer(pd.Index(ids)), dtype=np.int64)
    if type_ == "whole numbers" and kind == "f" and known.dtype.kind == "i":
        whole = (np.abs(ids) < 2.0**63) & (ids == np.trunc(ids))
        found[whole] = find(ids[whole].astype(np.int64), known)
        return found
    texts = kind == "O" and _type(ids) == "texts"
    if texts and type_ == "texts":
        wanted = pd.Index(ids, dtype=object)
        return np.asarray(pd.Index(known, dtype=object).get_indexer(wanted), dtype=np.int64)
    places = {_key(each): place for place, each in enumerate(_values(known))}
    if texts:
        codes, different = pd.factorize(ids)
        found = np.array([_look(each, places, type_) for each in different], dtype=np.int64)
        return np.asarray(found[codes], dtype=np.int64)
    return np.array([_look(each, places, type_) for each in _values(ids)], dtype=np.int64)


def in_type(asked: object, known: Ids) -> Ids:
    """Return ids as an id map has them, see `places`; those that cannot be in it as they are."""
    ids = listed("id", asked)
    type_ = _type(known)
    if (type_ == "whole numbers" and ids.dtype.kind in "iu") or (
        type_ == "texts" and _type(ids) == "texts"
    ):
        return ids
    own = [_own(each, type_) for each in ids]
    return listed("id", [each if new is None else new for each, new in zip(ids, own)])


def joined(kind: str, known: Ids, asked: object) -> Ids:
    """Return an id map with the ids that are not in it behind the others, in its own type.

    Raises
    ------
    RatingsError
        For what cannot be an id of this map; named with its row, from 1.
    """
    ids = listed(kind, asked)
    type_ = _type(known)
    lost = np.flatnonzero(find(ids, known) < 0)
    _check(kind, ids, lost)
    own = [_own(ids[row], type_) for row in lost]
    if type_ == "numbers":
        own = [float(new) if new is not None and float(new) == new else None for new in own]
    for row, new in zip(lost, own):
        if new is None:
            raise RatingsError(
                f"Row {row + 1} has the {kind} {_shown(ids[row])}, which cannot be in these "
                f"ratings, whose {kind} ids are {type_}; give it an id of this type."
            )
    if not own:
        return known
    extended = listed(kind, [*_values(known), *dict.fromkeys(own)])
    if _type(extended) != type_:
        raise RatingsError(
            f"The {kind} ids of these ratings are {type_}, and {_shown(own[-1])} cannot be written "
            "beside them in 64 bits; give it another id."
        )
    return extended


def listed(kind: str, asked: object) -> Ids:
    """Return ids as an array (n,) of numbers, or of objects, in which none has changed.

    NumPy makes texts of the numbers beside a text, and cuts texts at a last NUL.

    Parameters
    ----------
    kind : str
        What the ids are, for the message.
    asked : id or array-like of ids

    Raises
    ------
    RatingsError
        For a table.
    """
    values: Ids
    if isinstance(asked, (pd.Series, pd.Index, pd.api.extensions.ExtensionArray)):
        values = asked.to_numpy()
    elif isinstance(asked, np.ndarray):
        values = asked if asked.ndim else asked.reshape(1)
    elif isinstance(asked, Iterable) and not isinstance(asked, (str, bytes, pd.DataFrame)):
        values = _objects(asked)
    else:
        values = _objects([asked])
    if values.ndim != 1 or isinstance(asked, pd.DataFrame):
        raise RatingsError(f"A table is no list of {kind}s; give one id, or one a row.")
    if values.dtype.kind in "iuf":
        return values
    if values.dtype != object:
        values = _objects(pd.Index(values) if values.dtype.kind in "mM" else values.tolist())
    held = pd.api.types.infer_dtype(values, skipna=False)
    if held == "floating":
        return values.astype(np.float64)
    if held == "integer":
        for dtype in (np.int64, np.uint64):
            bounds = np.iinfo(dtype)
            if bounds.min <= min(values) and max(values) <= bounds.max:
                return values.astype(dtype)
    return values


def read_ids(column: pd.Series[str]) -> pd.Series[str] | pd.Series[int]:
    """Return a file's column of texts as numbers where each writes a whole number."""
    wholes = {}
    for text in column.unique():
        wholes[text] = _own(text, "whole numbers")
        if wholes[text] is None:
            return column
    numbers = listed("id", column.map(wholes).astype(object))
    return column if numbers.dtype == object else pd.Series(numbers, index=column.index)


def written_number(text: str) -> int | float | None:
    """Return the number that a text writes in ASCII digits; None where it is something else."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    whole, fraction = match.groups()
    return int(whole) if not (fraction or "").strip(".0") else float(whole + fraction)


def _check(kind: str, ids: Ids, rows: NDArray[np.int64]) -> None:
    """Refuse what is no id in any table."""
    if ids.dtype.kind in "iu":
        return
    for row in rows:
        value = ids[row]
        if _is_missing(value) or not _is_hashable(value) or isinstance(value, (bool, np.bool_)):
            raise RatingsError(
                f"Row {row + 1} has the {kind} {_shown(value)}, which cannot be an id; give each "
                "row an id, or leave the row out."
            )


def _look(value: object, places: dict[object, int], type_: str) -> int:
    if _is_missing(value) or not _is_hashable(value):
        return -1
    tries = [value, _rewritten(value)] if type_ == "ids of several types" else [_own(value, type_)]
    return next((places[_key(each)] for each in tries if _key(each) in places), -1)


def _own(value: object, type_: str) -> Any:
    """Return an id as a map of some type has it; None where it cannot be in one."""
    if type_ == "ids of several types":
        return value
    if isinstance(value, (bool, np.bool_)):
        return None
    if type_ == "texts":
        return str(value) if isinstance(value, str) else _rewritten(value)
    number = written_number(value) if isinstance(value, str) else value
    if isinstance(number, Integral):
        return int(number)
    if not isinstance(number, (float, np.floating)) or not math.isfinite(number):
        return None
    if number == int(number):
        return int(number)
    return float(number) if type_ == "numbers" else None


def _rewritten(value: object) -> str | int | float | None:
    """Return the number that a text writes, or the text that writes a number; None of others."""
    if isinstance(value, str):
        return written_number(value)
    if isinstance(value, (bool, np.bool_)):
        return None
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, (float, np.floating)) and math.isfinite(value):
        return str(int(value)) if value == int(value) else repr(float(value))
    return None


def _type(known: Ids) -> str:
    if known.dtype.kind in "iu":
        return "whole numbers"
    if known.dtype.kind == "f":
        return "numbers"
    texts = known.dtype.kind == "U" or (
        known.dtype == object and pd.api.types.infer_dtype(known, skipna=False) == "string"
    )
    return "texts" if texts else "ids of several types"


def _key(value: object) -> object:
    # True == 1, and a set or a dict holds only one of them.
    return ("truth", bool(value)) if isinstance(value, (bool, np.bool_)) else value


def _values(ids: Ids) -> list[object]:
    return list(pd.Index(ids)) if ids.dtype.kind in "mM" else list(ids.tolist())


def _is_missing(value: object) -> bool:
    return bool(pd.api.types.is_scalar(value)) and bool(pd.isna(value))  # which looks into lists


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _objects(values: Iterable[object]) -> Ids:
    found = list(values)
    return np.fromiter(found, dtype=object, count=len(found))


def _shown(value: object) -> str:
    return repr(value.item() if isinstance(value, np.generic) else value)
