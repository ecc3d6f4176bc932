import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autorec import Ratings, read_ratings
from autorec.errors import RatingsError

ROWS = [("ann", 10, 4.5, 100), ("bob", 30, 0.5, 200), ("ann", 30, 3.0, 300)]


def write(path: Path, separator: str, header: bool) -> Path:
    names = [("userId", "movieId", "rating", "timestamp")] if header else []
    lines = [separator.join(map(str, row)) for row in [*names, *ROWS]]
    text = "\n".join(lines) + "\n"
    if path.name in ("ratings.gz", "packed.csv"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize("separator", [",", "\t", "::", ";"])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("name", ["ratings.txt", "ratings.gz", "packed.csv"])
def test_files_are_read_whatever_their_layout(tmp_path, separator, header, name):
    ratings = read_ratings(write(tmp_path / name, separator, header))
    assert ratings.user_ids.tolist() == ["ann", "bob"]
    assert ratings.item_ids.tolist() == [10, 30]  # ids may have gaps
    assert ratings.users.tolist() == [0, 1, 0]
    assert ratings.items.tolist() == [0, 1, 1]
    assert ratings.values.tolist() == [4.5, 0.5, 3.0]  # half stars stay halves
    assert ratings.times.tolist() == [100, 200, 300]


def test_columns_are_found_by_name_or_by_position(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("stars,who,what\n4,7,1\n2,8,1\n")
    by_name = read_ratings(path, columns=["who", "what", "stars"])
    by_position = read_ratings(path, columns=[1, 2, 0])
    for ratings in (by_name, by_position):
        assert ratings.user_ids.tolist() == [7, 8]
        assert ratings.values.tolist() == [4.0, 2.0]
        assert ratings.times is None


def test_a_separator_of_two_colons_reads_columns_in_any_order(tmp_path):
    path = tmp_path / "ratings.dat"
    path.write_text("5::1::9\n4::2::9\n")
    ratings = read_ratings(path, columns=[2, 1, 0])
    assert ratings.user_ids.tolist() == [9]
    assert ratings.values.tolist() == [5.0, 4.0]


@pytest.mark.parametrize("rating", [0, -0.5])
def test_ratings_of_zero_and_below_are_refused_and_kept_on_request(rating):
    frame = pd.DataFrame({"user": [1, 1], "item": [1, 2], "rating": [3, rating]})
    with pytest.raises(RatingsError, match=rf"Row 2 has the rating {rating}.*nonpositive='keep'"):
        Ratings.from_frame(frame)
    assert Ratings.from_frame(frame, nonpositive="keep").values.tolist() == [3.0, rating]


def test_a_part_keeps_the_id_maps_and_the_frame_gives_the_ids_back():
    frame = pd.DataFrame({"user": ["b", "a"], "item": [5, 3], "rating": [1.0, 2.0], "time": [8, 9]})
    ratings = Ratings.from_frame(frame, time="time")
    assert (ratings.num_users, ratings.num_items, len(ratings)) == (2, 2, 2)
    part = ratings.take(np.array([False, True]))
    assert (part.num_users, part.num_items, len(part)) == (2, 2, 1)
    assert part.frame().to_dict("list") == {
        "user": ["a"], "item": [3], "rating": [2.0], "time": [9],
    }  # fmt: skip
    pd.testing.assert_frame_equal(ratings.frame(), frame, check_dtype=False)


def test_the_checksum_tells_tables_apart():
    frame = pd.DataFrame({"user": [1, 2], "item": [1, 2], "rating": [3.0, 4.0]})
    same = Ratings.from_frame(frame).checksum()
    assert Ratings.from_frame(frame.copy()).checksum() == same
    assert Ratings.from_frame(frame.assign(rating=[3.0, 5.0])).checksum() != same
    assert Ratings.from_frame(frame.assign(user=[1, 3])).checksum() != same


def test_a_fourth_field_that_is_no_number_is_no_time(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("NA,1,4,good\nbob,1,2,bad\n")
    ratings = read_ratings(path)
    assert ratings.times is None
    assert ratings.user_ids.tolist() == ["NA", "bob"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "empty"),
        ("1 2 3\n", "separator"),
        ("1,2\n", "2 fields"),
        ("1,2,3\n1,3,x\n", "Row 2 has the rating 'x'"),
        ("1,2,3\n1,3,\n", "Row 2 has the rating nan"),
        ("1,2,inf\n", "Row 1 has the rating inf"),
        ("1,2,1e39\n", "Row 1 has the rating 1e\\+39"),
        ("user,item,rating,time\n1,2,3,good\n", "Row 1 has the time 'good'"),
        ("1,2,3\n,2,3\n", "Row 2 has no user"),
        ("1,2,3\n2,2,3\n1,2,4\n", "in row 1 and again in row 3"),
        ("name,stars,what\n1,2,3\n", "names no user column"),
        ("user,item,rating\n", "empty"),
        ("1,2,3\na,2,3\n", None),
    ],
)
def test_bad_tables_are_refused_with_the_place(tmp_path, text, complaint):
    path = tmp_path / "ratings.csv"
    path.write_text(text)
    if complaint is None:
        assert read_ratings(path).user_ids.tolist() == ["1", "a"]
        return
    with pytest.raises(RatingsError, match=complaint) as caught:
        read_ratings(path)
    assert str(path) in str(caught.value)


def test_files_that_are_no_text_are_refused(tmp_path):
    missing = tmp_path / "missing.csv"
    with pytest.raises(RatingsError, match="does not exist"):
        read_ratings(missing)
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x01,\x02\n" * 10)
    with pytest.raises(RatingsError, match="cannot be read"):
        read_ratings(binary)
    cut = tmp_path / "cut.csv.gz"
    lines = "".join(f"{i},{i},3\n" for i in range(5000))
    cut.write_bytes(gzip.compress(lines.encode())[:-2000])
    with pytest.raises(RatingsError, match="cannot be read"):
        read_ratings(cut)


def test_the_content_tells_what_is_gzipped_not_the_name(tmp_path):
    plain = tmp_path / "plain.csv.gz"
    plain.write_text("1,2,3\n")
    assert len(read_ratings(plain)) == 1


@pytest.mark.parametrize("last", ["x", str(2**63 + 1)], ids=["text", "unsigned"])
def test_a_long_files_ids_are_of_one_type(tmp_path, last):
    path = tmp_path / "ratings.csv"
    lines = [f"{number:07},1,3" for number in range(60_000)]
    path.write_text("\n".join(["user,item,rating", *lines, f"{last},1,3"]) + "\n")
    ids = read_ratings(path).user_ids
    expected = ["0000000", "0000001"] if last == "x" else [0, 1]
    assert ids[:2].tolist() == expected
    assert str(ids[-1]) == last


def test_repeated_ratings_keep_the_last_on_request(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("1,2,3\n2,2,3\n1,2,4\n")
    with pytest.warns(UserWarning, match="Dropped 1 of 3 ratings"):
        ratings = read_ratings(path, duplicates="last")
    assert ratings.values.tolist() == [3.0, 4.0]
    with pytest.raises(RatingsError, match="'error' or 'last'"):
        read_ratings(path, duplicates="first")


@pytest.mark.parametrize("columns", [["user", "item"], ["user", "item", "stars"], [0, 1, 9]])
def test_columns_that_are_not_there_are_named(tmp_path, columns):
    path = tmp_path / "ratings.csv"
    path.write_text("user,item,rating\n1,2,3\n")
    with pytest.raises(RatingsError, match="three columns|no column 'stars'|3 fields"):
        read_ratings(path, columns=columns)


def test_a_frame_without_the_columns_is_refused():
    with pytest.raises(RatingsError, match="no column 'item'"):
        Ratings.from_frame(pd.DataFrame({"user": [1], "rating": [2]}))


def test_movielens_100k_is_read_as_pandas_reads_it(ml_100k, ratings_100k):
    table = pd.read_csv(ml_100k / "u.data", sep="\t", names=["user", "item", "rating", "time"])
    pd.testing.assert_frame_equal(ratings_100k.frame(), table, check_dtype=False)
    assert (ratings_100k.num_users, ratings_100k.num_items) == (943, 1682)


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ('"1","2","3"\n"4","5","5"\n', [0, 1, 2], [(1, 2, 3), (4, 5, 5)]),
        ('"a,b","2","3"\n', None, [("a,b", 2, 3)]),
        ("1;2;3;9\n2;2;4;9\n", None, [(1, 2, 3), (2, 2, 4)]),
        ("a;b,c;d,3\nb,c,4\n", None, [("a;b", "c;d", 3), ("b", "c", 4)]),
        ("1,2,3,x;y;z;a\n1,3,4,x;y\n", [0, 1, 2], [(1, 2, 3), (1, 3, 4)]),
        ("1\t2\t3\ta,b,c\n", [0, 1, 2], [(1, 2, 3)]),
        ("\ufeffuser,item,rating\n1,2,3\n", ["user", "item", "rating"], [(1, 2, 3)]),
        ("1_0,1,3\n10,1,4\n", None, [("1_0", 1, 3), ("10", 1, 4)]),
        ("True,1.50,3\nFalse,1.5,2\n", None, [("True", "1.50", 3), ("False", "1.5", 2)]),
        ("1.0,1,3\n2.0,2,2\n", None, [(1, 1, 3), (2, 2, 2)]),
        ("12345678901234567891,1.5,3\n12345678901234567892,1e3,3\n", None,
         [(12345678901234567891, "1.5", 3), (12345678901234567892, "1e3", 3)]),
    ],
)  # fmt: skip
def test_odd_files_are_read_as_they_are_meant(tmp_path, text, columns, rows):
    path = tmp_path / "ratings.csv"
    path.write_text(text)
    frame = read_ratings(path, columns=columns).frame()[["user", "item", "rating"]]
    assert list(frame.itertuples(index=False, name=None)) == rows


@pytest.mark.parametrize(
    ("text", "options", "complaint"),
    [
        ("1;2;3,5;8812,1\n", {}, "rating '3,5', with a decimal comma; write it with a point, 3.5"),
        ("1,2,x\n1,3,4\n", {"columns": [0, 1, 2]}, "Row 1 has the rating 'x'"),
        ("1,2,\n1,3,4\n", {"columns": [0, 1, 2]}, "Row 1 has the rating nan"),
        ("user,user,item,rating\n1,1,2,3\n", {}, "names 2 columns 'user'"),
        ("a,a,b,c\n1,1,2,3\n", {"columns": ["a", "b", "c"]}, "several columns 'a'"),
        ("1,2,3\n", {"columns": [0, 0, 2]}, "A column is named twice"),
        ("1,2,3\n", {"columns": [-1, 0, 1]}, "check separator and columns"),
        ("1,2,3\n", {"separator": ",,"}, "',,' is no separator"),
        ("1,2,3\n", {"encoding": "no such"}, "unknown encoding"),
        ("a\0b,2,3\n", {}, "NUL characters"),
    ],
)
def test_odd_files_are_refused_with_the_reason(tmp_path, text, options, complaint):
    path = tmp_path / "ratings.csv"
    path.write_text(text)
    with pytest.raises(RatingsError, match=complaint) as caught:
        read_ratings(path, **options)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("column", ["user", "item", "rating", "time"])
@pytest.mark.parametrize("dtype", ["Int64", "Float64", "string", "boolean"])
def test_a_missing_value_of_a_nullable_column_is_named_by_its_row(column, dtype):
    frame = pd.DataFrame({name: [1, 0, 2] for name in ("user", "item", "rating", "time")})
    whole = frame.assign(rating=[1, 2, 3]).astype("Int64")
    ratings = Ratings.from_frame(whole, time="time")
    assert ratings.user_ids.dtype == ratings.times.dtype == np.int64
    values = {"string": ["1", pd.NA, "2"], "boolean": [True, pd.NA, True]}
    holed = whole.assign(**{column: pd.array(values.get(dtype, [1, pd.NA, 2]), dtype=dtype)})
    with pytest.raises(RatingsError, match=f"Row 2 has (no|the) {column}"):
        Ratings.from_frame(holed, time="time")


def test_columns_that_cannot_be_meant_are_refused():
    frame = pd.DataFrame([[1, 2, 3, 4]], columns=["user", "user", "item", "rating"])
    with pytest.raises(RatingsError, match="2 columns 'user'; drop or rename"):
        Ratings.from_frame(frame)
    dates = pd.DataFrame({"user": [1], "item": [1], "rating": pd.to_datetime(["2020-01-01"])})
    with pytest.raises(RatingsError, match="'rating' holds datetime64"):
        Ratings.from_frame(dates)
