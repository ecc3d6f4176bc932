import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorec import Ratings
from autorec.data.splits import given_split, k_fold, last_split, leave_k_split, random_split
from autorec.errors import ConfigurationError, RatingsError

property_test = settings(deadline=None, derandomize=True)


def table(users, times=None) -> Ratings:
    """Ratings whose values are 1, 2, 3, ..., so that each can be told."""
    n = len(users)
    frame = pd.DataFrame({"user": users, "item": range(n), "rating": range(1, n + 1)})
    if times is None:
        return Ratings.from_frame(frame)
    return Ratings.from_frame(frame.assign(time=times), time="time")


def assert_parts(ratings, train, test):
    """Nothing is lost, nothing repeated, and both keep the id maps and the order."""
    assert sorted([*train.values, *test.values]) == ratings.values.tolist()
    for part in (train, test):
        assert part.values.tolist() == sorted(part.values)
        assert (part.num_users, part.num_items) == (ratings.num_users, ratings.num_items)


users = st.lists(st.integers(0, 9), min_size=2, max_size=60)
seeds = st.integers(0, 2**32)


@property_test
@given(n=st.integers(2, 200), ratio=st.floats(0.01, 0.99), seed=seeds)
def test_a_random_split_has_the_size_asked_for(n, ratio, seed):
    ratings = table(range(n))
    train, test = random_split(ratings, ratio, seed)
    assert_parts(ratings, train, test)
    assert len(test) == min(max(round(ratio * n), 1), n - 1)


@property_test
@given(users=users, data=st.data())
def test_the_last_rating_of_each_user_is_held_out(users, data):
    times = data.draw(st.lists(st.integers(0, 5), min_size=len(users), max_size=len(users)))
    ratings = table(users, times)
    if len(set(users)) == len(users):
        with pytest.raises(ConfigurationError, match="one rating"):
            last_split(ratings)
        return
    train, test = last_split(ratings)
    assert_parts(ratings, train, test)
    assert sorted(test.users) == list(range(ratings.num_users))
    for user, time in zip(train.users, train.times):
        assert time <= test.times[test.users == user][0]


@property_test
@given(users=users, k=st.integers(1, 4), seed=seeds)
def test_k_ratings_of_each_user_with_more_are_held_out(users, k, seed):
    ratings = table(users)
    counts = np.bincount(ratings.users)
    if counts.max() <= k:
        with pytest.raises(ConfigurationError, match=f"more than {k}"):
            leave_k_split(ratings, k, seed)
        return
    train, test = leave_k_split(ratings, k, seed)
    assert_parts(ratings, train, test)
    held_out = np.bincount(test.users, minlength=len(counts))
    assert held_out.tolist() == np.where(counts > k, k, 0).tolist()


@property_test
@given(n=st.integers(2, 60), k=st.integers(2, 7), seed=seeds)
def test_the_folds_are_disjoint_and_complete(n, k, seed):
    ratings = table(range(n))
    if k > n:
        with pytest.raises(ConfigurationError, match="k must be at most"):
            list(k_fold(ratings, k, seed))
        return
    folds = list(k_fold(ratings, k, seed))
    for train, test in folds:
        assert_parts(ratings, train, test)
    assert sorted(value for _, test in folds for value in test.values) == ratings.values.tolist()
    sizes = [len(test) for _, test in folds]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    "split", [random_split, leave_k_split, lambda r, seed: next(k_fold(r, 5, seed))]
)
def test_equal_seeds_give_equal_splits_and_other_seeds_others(split):
    ratings = table([n % 10 for n in range(100)])
    once, again, other = (split(ratings, seed=seed)[1].values for seed in (5, 5, 6))
    np.testing.assert_array_equal(once, again)
    assert set(once) != set(other)


def test_two_tables_come_under_common_id_maps():
    train = Ratings.from_frame(pd.DataFrame({"user": [7, 2], "item": ["b", "c"], "rating": [4, 3]}))
    test = Ratings.from_frame(pd.DataFrame({"user": [2, 9], "item": ["a", "b"], "rating": [1, 5]}))
    for given_part, part in zip((train, test), given_split(train, test)):
        assert part.user_ids.tolist() == [2, 7, 9]
        assert part.item_ids.tolist() == ["a", "b", "c"]
        pd.testing.assert_frame_equal(part.frame(), given_part.frame())


def test_two_tables_that_do_not_fit_are_refused():
    numbers = table([1, 2, 3])
    with pytest.raises(ConfigurationError, match="User 1's rating of item 0 is in the training"):
        given_split(numbers, numbers.take(np.arange(2)))
    text = Ratings.from_frame(pd.DataFrame({"user": ["ann"], "item": [9], "rating": [1]}))
    with pytest.raises(RatingsError, match="Row 1 has the user 'ann'.* ids are whole numbers"):
        given_split(numbers, text)


@pytest.mark.parametrize("ratio", [0, 1, -0.1, float("nan"), "half", None])
def test_ratios_outside_0_to_1_are_refused(ratio):
    with pytest.raises(ConfigurationError, match="test_ratio must be"):
        random_split(table(range(10)), ratio)


def test_what_cannot_be_split_is_refused():
    with pytest.raises(ConfigurationError, match="at least two"):
        random_split(table([1]))
    with pytest.raises(ConfigurationError, match="no times"):
        last_split(table([1, 1]))
    with pytest.raises(ConfigurationError, match="at least 1"):
        leave_k_split(table([1, 1]), 0)
    for seed in (-1, 0.5, None):
        with pytest.raises(ConfigurationError, match="seed must be"):
            random_split(table([1, 1]), seed=seed)
    with pytest.raises(ConfigurationError, match="k must be a whole number"):
        leave_k_split(table([1, 1]), 1.5)
