import numpy as np
import pandas as pd
import pytest
from support.training import learned

from autorec import Interactions, Ratings
from autorec.errors import ConfigurationError

FRAME = pd.DataFrame({"user": [1, 2, 4, 1], "item": [7, 7, 9, 9], "rating": [3.0, 0.0, -1.5, 5.0]})
DENSE = np.array([[3.0, 0.0, 0.0], [5.0, 0.0, -1.5]])  # items 7, 9 by users 1, 2, 4
MASK = np.array([[1, 1, 0], [1, 0, 1]])


@pytest.mark.parametrize("view", ["item", "user"])
def test_rows_are_items_or_users(view):
    interactions = Interactions.from_ratings(Ratings.from_frame(FRAME, nonpositive="keep"), view)
    dense, mask = (DENSE, MASK) if view == "item" else (DENSE.T, MASK.T)
    rows = np.arange(len(dense))
    assert interactions.shape == dense.shape
    assert len(interactions) == 4
    np.testing.assert_array_equal(interactions.dense(rows), dense)
    np.testing.assert_array_equal(interactions.mask(rows), mask)  # the rating of 0 is rated
    assert interactions.dense(rows).dtype == interactions.mask(rows).dtype == np.float32


def test_rows_come_in_the_order_asked_for():
    interactions = Interactions.from_ratings(Ratings.from_frame(FRAME, nonpositive="keep"))
    np.testing.assert_array_equal(interactions.dense(np.array([1, 0, 1])), DENSE[[1, 0, 1]])
    assert interactions.count(np.array([1, 0, 1])) == 6


def test_batches_hold_every_rated_row_once(rng):
    ratings = Ratings.from_frame(pd.DataFrame({"user": 1, "item": range(10), "rating": 3.0}))
    part = Interactions.from_ratings(ratings.take(ratings.items != 4))
    in_order = list(part.batches(4))
    assert [len(rows) for rows in in_order] == [4, 4, 1]
    assert np.concatenate(in_order).tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    shuffled = np.concatenate(list(part.batches(4, rng)))
    assert sorted(shuffled) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert shuffled.tolist() != sorted(shuffled)


def test_wrong_arguments_are_named():
    ratings = Ratings.from_frame(FRAME, nonpositive="keep")
    with pytest.raises(ConfigurationError, match="'film'"):
        Interactions.from_ratings(ratings, "film")
    with pytest.raises(ConfigurationError, match="batch_size"):
        list(Interactions.from_ratings(ratings).batches(0))


def test_one_rows_ratings_can_be_taken_alone():
    ratings = Interactions.from_ratings(learned())
    rows = np.array([5, 2])
    part = ratings.only(rows)
    assert part.shape == ratings.shape
    assert part.rated_rows().tolist() == [2, 5]
    assert len(part) == ratings.count(rows)
    np.testing.assert_array_equal(part.dense(rows), ratings.dense(rows))
