"""Files of ratings of which each of several workers keeps a share."""

import re
from functools import partial

import numpy
import pandas as pd
import pytest

from autorec.data.pieces import read_part, read_share, split_file
from autorec.data.ratings import Ratings
from autorec.data.reading import read_ratings
from autorec.data.splits import random_split
from autorec.distributed.hashing import owners
from autorec.errors import ConfigurationError, RatingsError

FORMS = {
    "numbers": (",", "{user},{item},{stars}\n", "userId,movieId,rating\n"),
    "texts": (",", "u{user},film {item},{stars}\n", "user,item,rating\n"),
    "zeros before": ("\t", "{user:05}\t{item}\t{stars}\t{time}\n", ""),
    "gaps once": (",", "{user}.0,+{item},{stars}\n", "user,item,rating\n"),
    "colons": ("::", "{user}::{item}::{stars}::{time}\n", ""),
}


@pytest.fixture(params=FORMS)
def table(request, tmp_path, rng):
    _, line, header = FORMS[request.param]
    item, user = (rng.random((30, 50)) < 0.4).nonzero()
    order = rng.permutation(len(item))
    path = tmp_path / "ratings.csv"
    rows = zip(user[order], item[order], rng.integers(1, 6, len(item)))
    path.write_text(
        header
        + "".join(line.format(user=u, item=i, stars=s, time=n) for n, (u, i, s) in enumerate(rows))
    )
    return path


def together(parts):
    """Return the ratings of several shares as a table, in order."""
    return pd.concat([each.frame() for each in parts]).sort_values(
        ["user", "item"], ignore_index=True
    )


def ordered(ratings: Ratings):
    return ratings.frame().sort_values(["user", "item"], ignore_index=True)


@pytest.mark.parametrize("view", ["item", "user"])
def test_shares_are_the_table_under_its_ids_and_so_are_their_splits(table, view, monkeypatch):
    monkeypatch.setattr("autorec.data.pieces.LINES", 100)
    whole = read_ratings(table)
    train, test = random_split(whole, 0.1, seed=7)
    learned, chooser = random_split(train, 0.2, seed=8)
    shares = [read_share(table, view, partial(owners, workers=3), rank) for rank in range(3)]
    for share in shares:
        assert share.total == len(whole) > len(share.ratings)
        numpy.testing.assert_array_equal(share.ratings.user_ids, whole.user_ids)
        numpy.testing.assert_array_equal(share.ratings.item_ids, whole.item_ids)
        pd.testing.assert_frame_equal(share.ratings.frame(), whole.take(share.rows).frame())
    split = [share.split(0.1, 7) for share in shares]
    again = [own.split(0.2, 8) for own, _ in split]
    for expected, parts in [
        (whole, shares),
        (test, [held for _, held in split]),
        (learned, [own for own, _ in again]),
        (chooser, [held for _, held in again]),
    ]:
        pd.testing.assert_frame_equal(ordered(expected), together([each.ratings for each in parts]))


@pytest.mark.parametrize(("view", "by"), [("item", "user"), ("user", "item")])
def test_a_file_that_was_split_is_read_part_by_part(table, tmp_path, view, by):
    whole, own = read_ratings(table), partial(owners, workers=3)
    sizes = split_file(table, tmp_path / "parts", 3, own, by=by)
    assert sum(sizes) == len(whole)
    shares = [read_part(tmp_path / "parts", view, own, rank, 3, "error") for rank in range(3)]
    assert [len(each.ratings) for each in shares] == sizes
    pd.testing.assert_frame_equal(ordered(whole), together([each.ratings for each in shares]))
    other = "user" if view == "item" else "item"
    with pytest.raises(ConfigurationError, match="is not split by"):
        read_part(tmp_path / "parts", other, own, 0, 3, "error")
    with pytest.raises(ConfigurationError, match="data split with --workers 4"):
        read_part(tmp_path / "parts", view, partial(owners, workers=4), 0, 4, "error")
    with pytest.raises(ConfigurationError, match="is there already"):
        split_file(table, tmp_path / "parts", 3, own)


def test_what_is_wrong_with_a_file_is_said(tmp_path):
    path, read = tmp_path / "ratings.csv", partial(owners, workers=1)
    for text, said in {
        "1,2,3\n1,2,4\n": "rated item 2 in row 1 and again in row 2",
        "1,2,3\n,2,4\n": "Row 2 has no user",
        "1,2,3\n2,2,0\n": "Row 2 has a rating of 0 or below",
        "1,2,3\n2,2,x\n": "which is not a finite number",
    }.items():
        path.write_text(text)
        with pytest.raises(RatingsError, match=f"{path.name}: .*{said}"):
            read_share(path, "item", read, 0)
    with pytest.raises(RatingsError, match="does not exist"):
        read_share(tmp_path / "no.csv", "item", read, 0)


@pytest.mark.parametrize("line", ["u21,film 3,x", "u21,film 3,0", "u20,film 3,1"])
def test_a_row_is_named_as_the_table_counts_it(tmp_path, monkeypatch, line):
    """Also by a worker that keeps only some of the rows, some lines at a time."""
    monkeypatch.setattr("autorec.data.pieces.LINES", 7)
    path = tmp_path / "ratings.csv"
    rows = [f"u{n},film 3,{1 + n % 5}" for n in range(40)]
    path.write_text("\n".join([*rows[:21], line, *rows[22:]]) + "\n")
    with pytest.raises(RatingsError) as whole:
        read_ratings(path)
    said = []
    for rank in range(3):
        try:
            read_share(path, "item", partial(owners, workers=3), rank)
        except RatingsError as error:
            said.append(str(error))
    assert said
    named = re.findall(r"[Rr]ow \d+", str(whole.value))
    assert all(all(each in one for each in named) for one in said)


def test_ids_have_one_owner_however_they_are_written():
    forms = ["7", "007", " 7", "+7", "7.0", "7.", "\t7.00 "]
    assert (
        len({*owners(numpy.array(forms, dtype=object), 1000), *owners(numpy.array([7]), 1000)}) == 1
    )
    assert owners(numpy.array(["-0"]), 1000) == owners(numpy.array([0]), 1000)
    apart = owners(numpy.array(["7", "-7", "7.5", "7x", "70"]), 1_000_003)
    assert len(set(apart)) == 5


def test_what_a_split_that_failed_has_written_is_gone(tmp_path):
    path, own = tmp_path / "ratings.csv", partial(owners, workers=2)
    path.write_text("1,2,3\n,2,4\n")
    killed = tmp_path / ".parts.abcd0123"  # by SIGKILL, earlier
    killed.mkdir()
    with pytest.raises(RatingsError, match="Row 2 has no user"):
        split_file(path, tmp_path / "parts", 2, own)
    assert [each.name for each in tmp_path.iterdir()] == ["ratings.csv"]
    path.write_text("1,2,3\n2,2,4\n")
    assert sum(split_file(path, tmp_path / "parts", 2, own)) == 2
