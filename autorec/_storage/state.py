"""State: nested values with arrays among them, as JSON and arrays; and whether one is like another.

Nothing is pickled, and what comes back from a file is compared with what a run makes itself before
it is used: kernels trust the shapes of their arrays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy

from .._arrays import AnyArray

#: Arrays, of NumPy or MXNet, numbers and texts, in mappings, lists and tuples: what is in one that
#: was read is not known before `check_like` has looked.
State = dict[str, Any]


def packed(
    value: object, arrays: dict[str, AnyArray], name: str = "", seen: dict[int, str] | None = None
) -> object:
    """Return a value for JSON, its arrays put into `arrays` by names that say where they were.

    Parameters
    ----------
    value
        Arrays, of NumPy or MXNet, numbers and texts, in mappings, lists and tuples.
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


def unpacked(tree: Any, arrays: Mapping[str, AnyArray]) -> Any:
    """Return the value that `packed` was given, from what it returned.

    Raises
    ------
    ValueError, TypeError, LookupError
        If it is not what `packed` returns.
    """
    if not isinstance(tree, dict):
        return tree
    ((kind, value),) = tree.items()
    if kind == "array":
        return arrays[value]
    if kind == "dict":
        return {key: unpacked(each, arrays) for key, each in value}
    parts = [unpacked(each, arrays) for each in value]
    return {"tuple": tuple, "list": list}[kind](parts)


def check_like(wanted: Any, found: Any, where: str = "the state") -> None:
    """Refuse a value that is not of the same form as another: its parts, their types and shapes.

    Parameters
    ----------
    wanted
        See `packed`. Mappings have the same keys, unless it has none or numbers for keys.
    found
        With NumPy's arrays.
    where : str
        What it is, for the message.

    Raises
    ------
    ValueError
        If it is not, or a number is not finite, below 0 where the other is not, or an integer
        beyond 2**62.
    """
    if isinstance(wanted, numpy.ndarray) or hasattr(wanted, "asnumpy"):
        form = isinstance(found, numpy.ndarray) and (found.shape, found.dtype)
        _require(form == (wanted.shape, numpy.dtype(wanted.dtype)), where)
    elif isinstance(wanted, Mapping):
        _require(isinstance(found, dict), where)
        _require(found.keys() == wanted.keys(), where)
        for key, each in wanted.items():
            check_like(each, found[key], f"{where}/{key}")
    elif isinstance(wanted, (list, tuple)):
        _require(type(found) is type(wanted) and len(found) == len(wanted), where)
        for number, (each, other) in enumerate(zip(wanted, found)):
            check_like(each, other, f"{where}/{number}")
    elif isinstance(wanted, (bool, str)) or wanted is None:
        _require(type(found) is type(wanted), where)
    else:
        check_number(found, where)
        _require(found >= 0 or wanted < 0, where)


def check_number(found: Any, where: str) -> None:
    """Refuse what is no finite number, or an integer beyond 2**62; ValueError."""
    _require(isinstance(found, (int, float)) and not isinstance(found, bool), where)
    _require(math.isfinite(found) if isinstance(found, float) else abs(found) < 2**62, where)


def _require(right: object, where: str) -> None:
    if not right:
        raise ValueError(f"{where} is not what this run makes")
