"""Bounds: numbers that are given, checked where they come in."""

from __future__ import annotations

import operator
from typing import Any, SupportsIndex

import numpy

from .errors import ConfigurationError

#: MXNet computes in float32, and reads numbers that are too small for it as little as too large.
LARGEST = float(numpy.finfo(numpy.float32).max)
_SMALLEST = float(numpy.finfo(numpy.float32).tiny)

#: MXNet takes 32 bits of a seed.
MOST_SEED = 2**32 - 1

#: MXNet counts what is in an array by 32 bits and a sign.
MOST_VALUES = 2**31 - 1

_RULES = {
    "least": ("at least", operator.ge),
    "most": ("at most", operator.le),
    "above": ("above", operator.gt),
    "below": ("below", operator.lt),
}


def whole(name: str, value: object, **bounds: float | None) -> int:
    """Return a whole number, NumPy's as Python's.

    Parameters
    ----------
    name : str
        Of the number, for the message.
    value
    **bounds : float, optional
        ``least``, ``most``, ``above``, ``below``.

    Raises
    ------
    ConfigurationError
        If it is none, or out of bounds.
    """
    if isinstance(value, (bool, numpy.bool_)) or not isinstance(value, SupportsIndex):
        raise ConfigurationError(f"{name} must be a whole number, not {value!r}.")
    return int(_within(name, operator.index(value), bounds))


def real(name: str, value: object, **bounds: float | None) -> float:
    """Return a finite number, NumPy's as Python's; the rest is as in `whole`."""
    if (
        not isinstance(value, (int, float, numpy.integer, numpy.floating))
        or isinstance(value, bool)
        or not (value == 0 or _holds(value))
    ):
        raise ConfigurationError(f"{name} must be a finite number, not {value!r}.")
    return float(_within(name, float(value), bounds))


def _holds(value: Any) -> bool:
    """Return whether float32 has the number, about."""
    return bool(_SMALLEST <= abs(value) <= LARGEST)


def _within(name: str, value: float, bounds: dict[str, float | None]) -> float:
    for rule, bound in bounds.items():
        words, holds = _RULES[rule]
        if bound is not None and not holds(value, bound):
            raise ConfigurationError(f"{name} must be {words} {bound:,}, not {value:,}.")
    return value
