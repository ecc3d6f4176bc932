"""Reading: ratings from a delimited file, whatever its header, separator and compression."""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import pandas as pd
from scipy.sparse import issparse

from ..errors import RatingsError
from .ids import in_type, read_ids
from .ratings import Column, Duplicates, Nonpositive, Ratings
from .sources import Text, name_of, opened

#: Header names by which a column is recognised, without case, underscores and spaces.
ALIASES = {
    "user": ("user", "userid", "uid"),
    "item": ("item", "itemid", "iid", "movie", "movieid"),
    "rating": ("rating", "score", "value"),
    "time": ("timestamp", "time"),
    "title": ("title", "name", "movietitle"),
}

#: In the order in which they are preferred where a line has several.
_SEPARATORS = ("::", "\t", ";", ",")
_UNIT = "\x1f"
_NUMBER = re.compile(
    r"\s*[+-]?([0-9]+[.,]?[0-9]*|[.,][0-9]+|inf|infinity|nan)(e[+-]?[0-9]+)?\s*", re.IGNORECASE
)


def read_ratings(
    path: str | os.PathLike[str],
    *,
    separator: str | None = None,
    header: bool | None = None,
    columns: Sequence[Column] | None = None,
    encoding: str = "utf-8",
    duplicates: Duplicates = "error",
    nonpositive: Nonpositive = "error",
    like: Ratings | None = None,
) -> Ratings:
    """Read a delimited file of ratings, gzipped or not.

    Parameters
    ----------
    path : path
        One rating a line, for example MovieLens' u.data, ratings.dat or ratings.csv; ``-`` for
        standard input. What is no regular file is read once, whole. At most `sources.MAX_BYTES`
        of text. Ids that are all whole numbers are read as numbers (007 is 7), others as text.
    separator : str, optional
        ``","``, ``"\\t"``, ``"::"``, ``";"`` or any other single character; by default that of
        the first four by which the first lines have equally many fields, and the most numbers.
    header : bool, optional
        Whether the first line names the columns; by default it does where its third field (or
        the named rating column) is no number, nor is that of the user or the item.
    columns : sequence of str or int, optional
        Names or positions (from 0) of user, item, rating and, if wanted, time. By default found
        by the header's names (userId, movieId, ...), else the first three or, where the fourth is
        a number, four fields.
    encoding : str
        The text's encoding.
    duplicates, nonpositive : str
        See `Ratings.from_frame`.
    like : Ratings, optional
        A table that has the same users and items: ids are read as text where its are text, so
        that its "007" is found.

    Raises
    ------
    RatingsError
        For a file that cannot be read as such a table, named with the row or column at fault.
    """
    should = "it should have one rating a line: user, item, rating"
    with _reading(path, "a table of ratings", "rating", should, encoding) as file:
        rows, separator = _look(file, encoding, separator, 3)
        positions, has_header = _find_columns(rows[0], columns, header)
        roles = dict(zip(("user", "item", "rating", "time"), positions))
        return Ratings.from_frame(
            _read_table(file, encoding, separator, has_header, roles, like),
            time="time" if "time" in roles else None,
            duplicates=duplicates,
            nonpositive=nonpositive,
        )


def as_ratings(
    table: object, like: Ratings | None = None, nonpositive: Nonpositive = "error"
) -> Ratings:
    """Return a table of ratings as `Ratings`.

    Parameters
    ----------
    table : Ratings, DataFrame, sparse matrix or path
        A DataFrame names its columns user, item, rating and perhaps time, or as files do (see
        `read_ratings`); a matrix is users x items; a path is read by `read_ratings`.
    like : Ratings, optional
        See `read_ratings`.
    nonpositive
        See `Ratings.from_frame`.

    Raises
    ------
    RatingsError
        If it is none of these, or `Ratings` refuses it.
    """
    if isinstance(table, Ratings):
        return table
    if isinstance(table, pd.DataFrame):
        fields = [str(column) for column in table.columns]
        found = _recognise(fields)
        names = dict(zip(("user", "item", "rating", "time"), (table.columns[i] for i in found)))
        return Ratings.from_frame(table, **names, nonpositive=nonpositive)
    if issparse(table):
        return Ratings.from_sparse(table, nonpositive)
    if isinstance(table, (str, os.PathLike)):
        return read_ratings(table, nonpositive=nonpositive, like=like)
    raise RatingsError(
        f"A {type(table).__name__} is no table of ratings; give a DataFrame, a sparse matrix of "
        "users x items, Ratings or the path of a file."
    )


def read_pairs(path: str | os.PathLike[str], like: Ratings | None = None) -> pd.DataFrame:
    """Read a delimited file of users and items, gzipped or not.

    Parameters
    ----------
    path : path
        A pair a line: the columns that a header names user and item (see `read_ratings`), or the
        first two; ``-`` for standard input.
    like : Ratings, optional
        The table that the ids are of: they get its types, where they can have them.

    Returns
    -------
    DataFrame
        Columns user and item.

    Raises
    ------
    RatingsError
        For a file that cannot be read as such a table.
    """
    table = _read_columns(path, ("user", "item"), like)
    if like is None:
        return table
    maps = {"user": like.user_ids, "item": like.item_ids}
    return pd.DataFrame({role: in_type(table[role], maps[role]) for role in maps})


def read_titles_table(path: str | os.PathLike[str]) -> pd.Series[str]:
    """Read a delimited file of items and titles; return the titles by item id, a text.

    Parameters
    ----------
    path : path
        An item a line: the columns that a header names item and title, or the first two.

    Raises
    ------
    RatingsError
        For a file that cannot be read as such a table.
    """
    table = _read_columns(path, ("item", "title")).drop_duplicates("item")
    return table.set_index("item")["title"]


def _read_columns(
    path: str | os.PathLike[str], roles: tuple[str, str], like: Ratings | None = None
) -> pd.DataFrame:
    reason = f"a line should have {roles[0]} and {roles[1]}"
    with _reading(path, "a table", roles[0], reason) as file:
        rows, separator = _look(file, "utf-8", None, 2)
        found = {role: _matches(rows[0], role) for role in roles}
        named = all(found.values())
        places = {role: found[role][0] if named else at for at, role in enumerate(roles)}
        if len(rows[0]) <= max(places.values()):
            raise RatingsError(f"The first line has {_fields(rows[0])}; {reason}.")
        table = _read_table(file, "utf-8", separator, named, places, like)
        for role in roles:
            missing = table[role].isna().to_numpy()
            if missing.any():
                row = int(missing.argmax())
                raise RatingsError(f"Row {row + 1} has no {role}; fill it in or drop the row.")
        return table


@contextmanager
def _reading(
    path: str | os.PathLike[str], what: str, unit: str, should: str, encoding: str = "utf-8"
) -> Iterator[IO[bytes]]:
    """Open a file, and have what goes wrong with it said in a sentence with its name."""
    name = name_of(path)
    try:
        with named(path), opened(path, encoding) as file:
            yield file
    except RatingsError:
        raise
    except pd.errors.EmptyDataError as error:
        raise RatingsError(f"{name} has a header but is empty below it; add {unit}s.") from error
    except FileNotFoundError as error:
        if name.startswith(("/dev/", "/proc/")):
            raise RatingsError(
                f"{name} does not exist, for example since it was a pipe of an earlier command; "
                f"name a file of {unit}s, or pipe them in again."
            ) from error
        raise RatingsError(f"{name} does not exist; name a file of {unit}s.") from error
    except MemoryError as error:
        raise RatingsError(
            f"{name} does not fit into the memory that there is; give fewer {unit}s."
        ) from error
    # pandas' parser errors are ValueErrors, and that there is no such encoding is a LookupError.
    except (OSError, EOFError, ValueError, LookupError, zlib.error, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise RatingsError(f"{name} cannot be read as {what} ({reason}); {should}.") from error


@contextmanager
def named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Have what is wrong with ratings said with the name of the file that they are from."""
    try:
        yield
    except RatingsError as error:
        raise RatingsError(f"{name_of(path)}: {error}") from error


def _look(
    file: IO[bytes], encoding: str, separator: str | None, wanted: int
) -> tuple[list[list[str]], str]:
    """Return the fields of the first lines, and the separator between them."""
    head = Text(file, encoding).head()
    if not re.match(r"[^\r\n]*\S", head):
        raise RatingsError("The file is empty or begins with an empty line; give it ratings.")
    if separator is None:
        separator = _find_separator(head, wanted)
    elif separator != "::" and (len(separator) != 1 or separator in '\r\n"'):
        raise RatingsError(
            f"{separator!r} is no separator; name '::' or one character that is no quote."
        )
    return _rows(head, separator), separator


def _rows(head: str, separator: str) -> list[list[str]]:
    if separator == "::":  # the csv module takes one character
        head, separator = head.replace("::", _UNIT), _UNIT
    lines = csv.reader(io.StringIO(head, newline=""), delimiter=separator)
    return [row for row in itertools.islice(lines, 20) if row]


def _find_separator(head: str, wanted: int) -> str:
    best: tuple[tuple[bool, bool, int], str] | None = None
    for separator in _SEPARATORS:
        rows = _rows(head, separator)
        if len(rows[0]) < 2 and separator not in re.split(r"[\r\n]", head, maxsplit=1)[0]:
            continue
        merits = (
            len(rows[0]) >= wanted,
            len({len(row) for row in rows}) == 1,
            sum(map(_is_number, rows[-1])),
        )
        if not best or merits > best[0]:
            best = merits, separator
    if not best:
        raise RatingsError(
            "The first line has no tab, comma, semicolon or '::' between fields; name the "
            "separator (--separator)."
        )
    return best[1]


def _read_table(
    file: IO[bytes],
    encoding: str,
    separator: str,
    has_header: bool,
    positions: dict[str, int],
    like: Ratings | None,
) -> pd.DataFrame:
    """Read columns by their positions; ids as numbers if all are whole, or else as text."""
    # The fast parser takes one character: "a::b" is read as "a", "", "b".
    step = len(separator) if "title" not in positions else 1
    names = {step * position: role for role, position in positions.items()}
    text = {"title"}
    if like is not None:
        maps = {"user": like.user_ids, "item": like.item_ids}
        text |= {role for role in maps if maps[role].dtype.kind in "OU"}

    def parse(text: set[str], **options: Any) -> pd.DataFrame:
        source: Text | io.StringIO = Text(file, encoding)
        if len(separator) > step:  # a title may well have a colon
            source = io.StringIO(source.read().replace(separator, _UNIT), newline="")
        table = pd.read_csv(
            source,
            sep=_UNIT if len(separator) > step else separator[0],
            usecols=list(names),
            header=None,
            skiprows=1 if has_header else 0,
            keep_default_na=False,  # a user may be called NA
            na_values=[""],
            dtype={at: str for at, role in names.items() if role in text},
            **options,
        )
        return table.rename(columns=names)[list(positions)]

    def parse_fast(text: set[str]) -> pd.DataFrame:
        # In pieces, the fastest way; as a whole where pieces differ in their types.
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.DtypeWarning)
            try:
                return parse(text)
            except pd.errors.DtypeWarning:  # numbers in some pieces, text in others
                return parse(text, low_memory=False)

    table = parse_fast(text)
    ids = {"user", "item"} & set(positions)
    # Texts of numbers, such as 1.50, and of truth values are ids as they stand.
    unsure = {role for role in ids - text if table[role].dtype.kind not in "iuO"}
    if unsure:
        table = parse_fast(text | unsure)
    for role in ids - text:
        if table[role].dtype == object:
            table[role] = read_ids(table[role])
    return table


def _plain(field: str) -> str:
    return "".join(c for c in field.lower() if c.isalnum())


def _find_columns(
    fields: list[str], columns: Sequence[Column] | None, header: bool | None
) -> tuple[list[int], bool]:
    """Return the positions of user, item, rating and perhaps time; and whether a header is."""
    if columns is not None and len(columns) not in (3, 4):
        raise RatingsError("Name three columns (user, item, rating) or four (and time).")
    if columns is not None and any(isinstance(column, str) for column in columns):
        header = True
    if header is None:
        first = [0, 1, 2] if columns is None else [int(column) for column in columns[:3]]
        # A row of data that is no use is not taken for a header.
        header = max(first) < len(fields) and not any(_is_number(fields[at]) for at in first)
    if columns is None:
        # Without a header a fourth field is the time if it can be.
        timed = len(fields) > 3 and _is_number(fields[3])
        columns = _recognise(fields) if header else list(range(min(len(fields), 3 + timed)))
    positions = [c if isinstance(c, int) else _position(c, fields) for c in columns]
    if len(positions) < 3 or max(positions) >= len(fields) or min(positions) < 0:
        raise RatingsError(
            f"The first line has {_fields(fields)}, too few for user, "
            "item and rating in the columns named; check separator and columns."
        )
    if len(set(positions)) < len(positions):
        raise RatingsError("A column is named twice; name one each for user, item and rating.")
    return positions, header


def _recognise(fields: list[str]) -> list[Column]:
    found: list[Column] = []
    for role in ("user", "item", "rating", "time"):
        matches = _matches(fields, role)
        if matches:
            found.append(matches[0])
        elif role != "time":
            raise RatingsError(
                f"The header {', '.join(map(repr, fields))} names no {role} column; name the "
                "columns of user, item and rating."
            )
    return found


def _matches(fields: list[str], role: str) -> list[int]:
    """Return the positions of the fields that may name a column."""
    plain = [_plain(field) for field in fields]
    matches = [at for at, name in enumerate(plain) if name in ALIASES[role]]
    if matches and plain.count(plain[matches[0]]) > 1:
        raise RatingsError(
            f"The header names {plain.count(plain[matches[0]])} columns {fields[matches[0]]!r}; "
            "rename all but one."
        )
    return matches


def _position(column: str, fields: list[str]) -> int:
    names = [field.strip() for field in fields]
    if names.count(column) != 1:
        raise RatingsError(
            f"The header has {'several columns' if column in names else 'no column'} {column!r}; "
            f"it has {', '.join(map(repr, names))}."
        )
    return names.index(column)


def _fields(fields: list[str]) -> str:
    return f"{len(fields)} field{'s'[: len(fields) != 1]}"


def _is_number(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text))
