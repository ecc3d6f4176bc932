"""Bounds: the numbers that settings may be, checked in one place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

from .errors import ConfigurationError


class _Bounds(NamedTuple):
    low: float
    high: float = math.inf
    whole: bool = True
    low_excluded: bool = False
    high_excluded: bool = False
    optional: bool = False
    several: bool = False

    def hold(self, value: Any) -> bool:
        if value is None:
            return self.optional
        number = Integral if self.whole else Real
        if isinstance(value, bool) or not isinstance(value, number):
            return False
        found: Any = value
        above = found > self.low if self.low_excluded else found >= self.low
        below = found < self.high if self.high_excluded else found <= self.high
        return bool(above and below and math.isfinite(found))

    def __str__(self) -> str:
        kind = " and whole" if self.whole else " and finite"
        if self.low_excluded:
            return f"between {self.low:,} and {self.high:,}"
        if self.high_excluded:
            return f"from {self.low:,} up to {self.high:,}"
        if self.high < math.inf:
            return f"from {self.low:,} to {self.high:,}{kind}"
        return (f"at least {self.low:,}" if self.low > -math.inf else "a number") + kind


_SHARE = _Bounds(0, 1, whole=False, high_excluded=True)
_NUMBER = _Bounds(0, whole=False)
# MXNet takes 32 bits of a seed, and NumPy none below 0.
_SEED = _Bounds(0, 2**32 - 1)
_COUNT = _Bounds(1)

#: By the settings' names.
BOUNDS = {
    "k": _COUNT,
    "num_hidden": _COUNT._replace(several=True),
    "num_users": _COUNT,
    "num_factors": _COUNT,
    "num_epochs": _COUNT,
    "batch_size": _COUNT,
    "patience": _COUNT._replace(optional=True),
    "pretrain_epochs": _Bounds(0),
    "dropout": _SHARE,
    "input_dropout": _SHARE,
    "averaging": _SHARE,
    "learning_rate": _NUMBER,
    "learning_rate_decay": _NUMBER,
    "finetuning_rate": _NUMBER._replace(optional=True),
    "weight_decay": _NUMBER,
    "decay_power": _NUMBER,
    "init_sigma": _NUMBER,
    "cold_rating": _Bounds(-math.inf, whole=False, optional=True),
    "test_ratio": _Bounds(0, 1, whole=False, low_excluded=True, high_excluded=True),
    "seed": _Bounds(0),
    "random_state": _SEED,
}


def check(**settings: Any) -> None:
    """Refuse settings that are not numbers within their bounds; others are passed over.

    Raises
    ------
    ConfigurationError
        For the first of them, by its name.
    """
    for name, value in settings.items():
        bounds = BOUNDS.get(name)
        if bounds is None:
            continue
        values = [value]
        if bounds.several and isinstance(value, Sequence) and not isinstance(value, str):
            values = list(value)
        for each in values:
            if not bounds.hold(each):
                raise ConfigurationError(f"{name} must be {bounds}, not {each!r}.")
