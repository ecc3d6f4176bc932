"""The best items of many users at once, beside a plain sort of each row."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorec.evaluation.top_items import _top


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    users=st.integers(0, 5),
    size=st.integers(1, 70),
    k=st.integers(1, 70),
    levels=st.sampled_from([2, 5, 10_000]),  # ties of most, of some, of none
    left_out=st.sampled_from([0.0, 0.3, 0.95, 1.0]),
    seed=st.integers(0, 1000),
)
def test_the_best_are_those_of_a_stable_sort(users, size, k, levels, left_out, seed):
    rng = numpy.random.default_rng(seed)
    k = min(k, size)
    scores = rng.integers(-levels, levels, (users, size)).astype(numpy.float32)
    scores[rng.random((users, size)) < left_out] = -numpy.inf
    expected = numpy.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = numpy.take_along_axis(scores, expected, axis=1)
    items, values = _top(scores.copy(), k)
    numpy.testing.assert_array_equal(items, numpy.where(best > -numpy.inf, expected, -1))
    numpy.testing.assert_array_equal(values, best)


@pytest.mark.parametrize("k", [1, 3, 9, 10, 80])
def test_the_best_may_all_be_in_one_group(k):
    # Every eighth of 80 items is one group, whose best bounds the k-th of all.
    scores = numpy.zeros((1, 80), dtype=numpy.float32)
    scores[0, 3::10] = numpy.arange(8, 0, -1)
    items, values = _top(scores, k)
    numpy.testing.assert_array_equal(items[0, :8], numpy.arange(3, 80, 10)[:k])
    numpy.testing.assert_array_equal(values[0, :8], numpy.arange(8, 0, -1)[:k])
