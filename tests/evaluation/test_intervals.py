"""Intervals beside figures computed by hand, SciPy's, and what simulation shows."""

import math

import numpy
import pytest
from scipy import stats

from autorec.errors import ConfigurationError
from autorec.evaluation.intervals import Interval, corrected_interval


def test_the_interval_is_the_one_computed_by_hand():
    # s² = 0.00025, (1/5 + 1/9) s² = 0.0000777..., whose root is 0.00881917; t(4) = 2.776445.
    found = corrected_interval([0.88, 0.89, 0.90, 0.91, 0.92], 1 / 9)
    assert found.mean == pytest.approx(0.90)
    assert found.half_width == pytest.approx(0.024486, abs=1e-6)
    assert (found.low, found.high) == pytest.approx((0.875514, 0.924486), abs=1e-6)


def test_without_overlap_it_is_students(rng):
    scores = rng.normal(size=7)
    low, high = stats.t.interval(0.9, 6, scores.mean(), stats.sem(scores))
    found = corrected_interval(scores, 0.0, level=0.9)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_five_splits_of_ninety_and_ten_are_a_quarter_wider():
    scores = [1.0, 2.0, 4.0, 8.0, 9.0]
    ratio = corrected_interval(scores, 1 / 9).half_width / corrected_interval(scores, 0).half_width
    assert ratio == pytest.approx(math.sqrt(1 + 5 / 9))


def test_it_covers_the_mean_of_scores_that_are_correlated_as_much(rng):
    """With correlation n_test / (n_test + n_train), 95 of 100 intervals hold the true mean."""
    share, n = 0.1, 5
    common = rng.normal(size=(4000, 1)) * math.sqrt(share)
    scores = common + rng.normal(size=(4000, n)) * math.sqrt(1 - share)
    hits = [abs(each.mean) < each.half_width for each in
            (corrected_interval(row, share / (1 - share)) for row in scores)]  # fmt: skip
    # Four standard errors of a share of 4,000.
    assert numpy.mean(hits) == pytest.approx(0.95, abs=0.014)


def test_one_split_tells_no_interval():
    found = corrected_interval([0.9], 1 / 9)
    assert (found.mean, math.isnan(found.half_width), found.sign) == (0.9, True, 0)
    with pytest.raises(ConfigurationError, match="no scores"):
        corrected_interval([], 1 / 9)


def test_the_sign_is_of_all_of_it():
    assert [Interval(m, 1.0).sign for m in (-2, -1, 0, 1, 2)] == [-1, 0, 0, 0, 1]
