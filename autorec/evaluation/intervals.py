"""Intervals: how sure a mean over splits is, whose training ratings overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from scipy.stats import t as student

from .._arrays import Floats
from ..errors import ConfigurationError


@dataclass(frozen=True)
class Interval:
    """A mean, and half the width of its confidence interval; NaN for a single split."""

    mean: float
    half_width: float

    @property
    def low(self) -> float:
        """Where it begins."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """Where it ends."""
        return self.mean + self.half_width

    @property
    def sign(self) -> int:
        """1 or -1 if all of it is above or below 0; else 0."""
        return int(self.low > 0) - int(self.high < 0)


def corrected_interval(
    scores: Sequence[float] | Floats, test_to_train: float, level: float = 0.95
) -> Interval:
    """Return the interval of a mean over splits of one table (Nadeau and Bengio 2003).

    mean ± t(n - 1) sqrt((1 / n + n_test / n_train) s²): models of splits that share training
    ratings err alike, so the mean of n scores varies more than the s² / n of Student's interval.
    For five splits of 90 and 10 % it is 1.25 times as wide.

    Parameters
    ----------
    scores : sequence of float
        Of one model on each split, or the differences of two models.
    test_to_train : float
        Test ratings for each training rating, above 0: 1/9 for 90 and 10 %.
    level : float
        Between 0 and 1.

    Raises
    ------
    ConfigurationError
        If there are no scores.
    """
    values = numpy.asarray(scores, dtype=numpy.float64)
    if not len(values):
        raise ConfigurationError("There are no scores to take the mean of; give one at least.")
    mean, count = float(values.mean()), len(values)
    if count == 1:
        return Interval(mean, math.nan)
    variance = (1 / count + test_to_train) * float(values.var(ddof=1))
    return Interval(mean, float(student.ppf((1 + level) / 2, count - 1)) * math.sqrt(variance))
