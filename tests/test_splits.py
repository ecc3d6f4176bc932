import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorec import Ratings, random_split
from autorec.errors import ConfigurationError


def numbered(n: int) -> Ratings:
    """Ratings whose values are 0, 1, 2, ..., so that each can be told."""
    return Ratings.from_frame(
        pd.DataFrame({"user": range(n), "item": range(n), "rating": range(n)})
    )


@settings(deadline=None, derandomize=True)
@given(n=st.integers(2, 200), ratio=st.floats(0.01, 0.99), seed=st.integers(0, 2**32))
def test_a_random_split_loses_and_repeats_nothing(n, ratio, seed):
    train, test = random_split(numbered(n), ratio, seed)
    assert sorted([*train.values, *test.values]) == list(range(n))
    assert len(test) == min(max(round(ratio * n), 1), n - 1)
    assert train.num_users == test.num_users == n


def test_equal_seeds_give_equal_splits_and_other_seeds_others():
    ratings = numbered(100)
    once, again, other = (random_split(ratings, 0.2, seed)[1].values for seed in (5, 5, 6))
    np.testing.assert_array_equal(once, again)
    assert set(once) != set(other)


@pytest.mark.parametrize("ratio", [0, 1, -0.1, float("nan")])
def test_ratios_outside_0_to_1_are_refused(ratio):
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        random_split(numbered(10), ratio)


def test_one_rating_cannot_be_split():
    with pytest.raises(ConfigurationError, match="at least two"):
        random_split(numbered(1))
