"""Ids, one by one and by value, beside a dict that knows each way to write one."""

import uuid

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ROUNDING

from autorec import Ratings, Recommender, read_ratings
from autorec.data.ids import find, in_type, joined, listed, places
from autorec.data.reading import read_pairs
from autorec.data.splits import given_split
from autorec.errors import RatingsError

property_test = settings(deadline=None, derandomize=True, max_examples=200)
NUMBERS = np.array([7, 42, -3, 2**53 + 1])
TEXTS = np.array(["7", "42", "007", "1_0", "a", "a\0", "4.5", ""], dtype=object)


@pytest.mark.parametrize("asked", [42, np.int64(42), np.float32(42), 42.0, "42", "0042", "42.0"])
def test_one_number_is_written_in_many_ways(asked):
    assert places("user", asked, NUMBERS).tolist() == [1]
    with pytest.warns(UserWarning, match="Row 1 asks for the user 'x'"):
        assert places("user", ["x", 7, asked], NUMBERS, "fallback").tolist() == [-1, 0, 1]
    assert places("user", asked, NUMBERS.astype(float)).tolist() == [1]


@pytest.mark.parametrize("asked", ["1_0", "٤٢", "4x", "1e3", 4.5, "4.5", "0x7", "", b"7", "7\0",
                                   "9" * 5000, float("inf")])  # fmt: skip
def test_what_is_no_whole_number_is_not_guessed_at(asked):
    known = np.array([7, 10, 42, 1000, 4])
    with pytest.raises(RatingsError, match=r"no user .* ids are whole numbers \(row 2;"):
        places("user", [7, asked], known)
    with pytest.warns(UserWarning, match="Row 2 asks for the user .* which cannot be"):
        assert places("user", [7, asked], known, "fallback").tolist() == [0, -1]


@pytest.mark.parametrize("asked", [None, float("nan"), pd.NA, pd.NaT, True, [7], {"a": 1}])
@pytest.mark.parametrize("known", [NUMBERS, TEXTS], ids=["numbers", "texts"])
def test_what_is_no_id_is_refused_even_where_others_fall_back(asked, known):
    for unknown in ("error", "fallback"):
        with pytest.raises(RatingsError, match=r"Row 2 has the user .*, which cannot be an id"):
            places("user", ["7", asked], known, unknown)


@pytest.mark.parametrize(
    ("asked", "place"),
    [(7, 0), (7.0, 0), ("007", 2), ("1_0", 3), ("a", 4), ("a\0", 5), (4.5, 6), ("", 7),
     (np.array(["42"]), 1), (pd.Series(["a\0"]), 5), (pd.Series([42], dtype="Int64"), 1)],
)  # fmt: skip
def test_a_text_is_itself_and_a_number_the_text_that_writes_it(asked, place):
    assert places("item", asked, TEXTS).tolist() == [place]


@pytest.mark.parametrize("asked", [10, 1.5, "07", " 7", "7.0", "b"])
def test_other_texts_are_unknown(asked):
    assert places("item", [asked], TEXTS, "fallback").tolist() == [-1]


def test_among_ids_of_several_types_the_type_counts_first():
    known = np.array([7, "7", "8", 9, True, uuid.UUID(int=1)], dtype=object)
    asked = [7, "7", 8, "9", True, 7.0, uuid.UUID(int=1)]
    assert places("user", asked, known).tolist() == [0, 1, 2, 3, 4, 0, 5]
    assert places("user", [1, "True"], known, "fallback").tolist() == [-1, -1]


WHOLE = st.one_of(st.integers(-20, 20), st.integers(2**53 - 2, 2**53 + 2), st.just(2**63 + 1))
WRITTEN = st.one_of(
    WHOLE,
    WHOLE.map(str),
    WHOLE.map(float),
    WHOLE.map("{:05}".format),
    st.integers(-20, 20).map(np.int8),
    st.sampled_from(["x", "1_0", "1.5", 1.5, "a\0", "", "٣"]),
)


def as_whole(value):
    """What the oracle takes for a whole number; Python's own parser, and its slips taken out."""
    if isinstance(value, str):
        text = value.lstrip("-")
        return int(value) if text and set(text) <= set("0123456789") else None
    return int(value) if value == int(value) else None


@property_test
@given(known=st.lists(WHOLE, min_size=1, unique=True), asked=st.lists(WRITTEN, max_size=8))
def test_numbers_are_found_as_in_a_dict(known, asked):
    known = listed("user", known)
    if known.dtype == object:  # too far apart for 64 bits: a map of several types
        return
    oracle = {int(value): place for place, value in enumerate(known)}
    expected = [oracle.get(as_whole(value), -1) for value in asked]
    assert find(listed("user", asked), known).tolist() == expected
    for one, place in zip(asked, expected):
        assert find(listed("user", [one]), known).tolist() == [place]


@property_test
@given(known=st.lists(st.text(max_size=3), min_size=1, unique=True), data=st.data())
def test_texts_are_found_as_in_a_dict(known, data):
    asked = data.draw(st.lists(st.one_of(st.sampled_from(known), st.text(max_size=3), WHOLE)))
    oracle = {text: place for place, text in enumerate(known)}
    found = find(listed("user", asked), np.array([*known, None], dtype=object)[:-1])
    assert found.tolist() == [oracle.get(str(value), -1) for value in asked]


def test_new_ids_join_a_map_in_its_type():
    assert joined("item", NUMBERS, ["42", "9999", 9999.0]).tolist() == [*NUMBERS, 9999]
    assert joined("item", np.array([1, 2]), [2**63]).dtype == np.uint64
    assert joined("item", np.array([1.5]), [2]).tolist() == [1.5, 2.0]
    assert joined("item", np.array(["x"], dtype=object), [3.0, "3", "03"]).tolist() == [
        "x", "3", "03",
    ]  # fmt: skip
    with pytest.raises(RatingsError, match="Row 2 has the item 'x', which cannot be in these"):
        joined("item", NUMBERS, ["1", "x"])
    with pytest.raises(RatingsError, match="cannot be written beside them in 64 bits"):
        joined("item", np.array([-1]), [2**63])
    assert in_type(["42", "x", 7.0], NUMBERS).tolist() == [42, "x", 7]


@pytest.fixture(scope="module")
def models():
    """The same ratings, by whole numbers and by texts, "007" and "7" among them."""
    frame = pd.DataFrame({"user": [1, 1, 2, 2], "item": [7, 8, 7, 9], "rating": [5, 1, 2, 4]})
    text = frame.assign(user=["1", "1", "x", "x"], item=["7", "8", "7", "007"])
    settings = {"num_hidden": 2, "num_epochs": 1, "devices": "cpu", "cold_rating": 2.5}
    return [Recommender(**settings).fit(each) for each in (frame, text)]


def test_one_text_id_among_pairs_makes_no_other_unknown(models, tmp_path):
    numbers, _ = models
    (tmp_path / "pairs.csv").write_text("user,item\n1,7\nx,8\n2,9\n")
    pairs = pd.read_csv(tmp_path / "pairs.csv")
    expected = numbers.predict([1, 2], [7, 9])
    for table in (pairs, read_pairs(tmp_path / "pairs.csv", like=numbers.ratings_)):
        with pytest.warns(UserWarning, match="Row 2 asks for the user 'x'"):
            answer = numbers.predict(table["user"], table["item"], unknown="fallback")
        # In a batch of three rows and not of two.
        np.testing.assert_allclose(answer, [expected[0], 2.5, expected[1]], rtol=ROUNDING)


def test_numbers_alone_are_found_in_a_model_of_texts(models, tmp_path):
    _, texts = models
    (tmp_path / "pairs.csv").write_text("user,item\n1,7\n1,8\n")
    pairs = pd.read_csv(tmp_path / "pairs.csv")  # as numbers
    expected = texts.predict(["1", "1"], ["7", "8"]).tolist()
    assert texts.predict(pairs["user"], pairs["item"], unknown="fallback").tolist() == expected
    (tmp_path / "test.csv").write_text("1,007,5\n1,008,1\n")  # which read alone is 7
    assert read_ratings(tmp_path / "test.csv").item_ids.tolist() == [7, 8]
    with pytest.raises(RatingsError, match=r"no item '008' .*\(row 2"):
        texts.evaluate(tmp_path / "test.csv")
    read = read_pairs(tmp_path / "test.csv", like=texts.ratings_)
    assert read["item"].tolist() == ["007", "008"]


def test_ids_with_nul_are_not_cut(models):
    _, texts = models
    with pytest.raises(RatingsError, match=r"no item '7\\x00'"):
        texts.predict(["1"], ["7\0"])
    assert texts.predict(["1"], ["7\0"], unknown="fallback").tolist() == [2.5]


def test_every_door_takes_ids_by_value(models):
    for model in models:
        asked = model.recommend(["1", 1, 1.0], k=1, exclude_seen=False)["user"].unique()
        assert asked.tolist() == [model.ratings_.user_ids[0]]
        similar = model.similar_items("8", titles={"7": "A", 7: "B", "x": "C"})
        assert "A" in similar["title"].tolist()
        frame = pd.DataFrame({"user": [1.0, 1.0], "item": ["7", "8"], "rating": [5, 1]})
        assert model.evaluate(frame, relevant=1).errors.count == 2


def test_an_update_keeps_the_type_of_the_ids(models):
    ratings = models[0].ratings_
    new = Ratings.from_frame(
        pd.DataFrame({"user": ["1", "2"], "item": ["7", "9999"], "rating": [3, 4]})
    )
    merged = ratings.joined(new, fixed="user")
    assert merged.item_ids.tolist() == [7, 8, 9, 9999]
    assert merged.item_ids.dtype == np.int64
    assert len(merged) == len(ratings) + 1
    for item, complaint in (("x", "Row 1 has the item 'x'"), ("1_0", "Row 1 has the item '1_0'")):
        odd = pd.DataFrame({"user": [1], "item": [item], "rating": [3]})
        with pytest.raises(RatingsError, match=complaint):
            ratings.joined(Ratings.from_frame(odd), fixed="user")


def test_two_files_of_other_types_come_under_one_map(tmp_path):
    (tmp_path / "train.csv").write_text("x,007,5\n1,2,4\n")
    (tmp_path / "test.csv").write_text("1,007,5\n")
    train = read_ratings(tmp_path / "train.csv")
    assert train.item_ids.tolist() == [2, 7]
    test = read_ratings(tmp_path / "test.csv", like=train)
    learned, held_out = given_split(train, test)
    assert held_out.pairs()[0].tolist() == ["1"]
    assert learned.user_ids.tolist() == ["1", "x"]
