"""Reading: ratings from a delimited file, whatever its header, separator and compression."""

from __future__ import annotations

import gzip
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.sparse import issparse

from .errors import RatingsError
from .ratings import Column, Duplicates, Nonpositive, Ratings

#: Header names by which a column is recognised, without case, underscores and spaces.
ALIASES = {
    "user": ("user", "userid", "uid"),
    "item": ("item", "itemid", "iid", "movie", "movieid"),
    "rating": ("rating", "score", "value"),
    "time": ("timestamp", "time"),
    "title": ("title", "name", "movietitle"),
}


def read_ratings(
    path: str | os.PathLike[str],
    *,
    separator: str | None = None,
    header: bool | None = None,
    columns: Sequence[Column] | None = None,
    encoding: str = "utf-8",
    duplicates: Duplicates = "error",
    nonpositive: Nonpositive = "error",
) -> Ratings:
    """Read a delimited file of ratings, gzipped or not.

    Parameters
    ----------
    path : path
        One rating a line, for example MovieLens' u.data, ratings.dat or ratings.csv. Ids that are
        all whole numbers are read as numbers (007 is 7), others as text.
    separator : str, optional
        ``","``, ``"\\t"``, ``"::"``, ``";"`` or any other single character; found in the first
        line by default.
    header : bool, optional
        Whether the first line names the columns; by default it does where its third field (or
        the named rating column) is no number.
    columns : sequence of str or int, optional
        Names or positions (from 0) of user, item, rating and, if wanted, time. By default found
        by the header's names (userId, movieId, ...), else the first three or, where the fourth is
        a number, four fields.
    encoding : str
        The text's encoding.
    duplicates, nonpositive : str
        As of `Ratings.from_frame`.

    Raises
    ------
    RatingsError
        For a file that cannot be read as such a table, named with the row or column at fault.
    """
    path = Path(path)
    try:
        first_line = _first_line(path, encoding)
        separator = separator or _find_separator(first_line)
        fields = first_line.rstrip("\r\n").split(separator)
        positions, has_header = _find_columns(fields, columns, header)
        frame = _read_table(
            path,
            # The fast parser takes one character: "a::b" is read as "a", "", "b".
            sep=":" if separator == "::" else separator,
            usecols=[2 * p for p in positions] if separator == "::" else positions,
            header=None,
            skiprows=1 if has_header else 0,
            encoding=encoding,
            compression="gzip" if _is_gzip(path) else None,
            keep_default_na=False,  # a user may be called NA
            na_values=[""],
        )
        names = ["user", "item", "rating", "time"][: len(positions)]
        order = {(2 * p if separator == "::" else p): n for p, n in zip(positions, names)}
        frame.columns = [order[position] for position in frame.columns]
        return Ratings.from_frame(
            frame,
            time="time" if "time" in names else None,
            duplicates=duplicates,
            nonpositive=nonpositive,
        )
    except RatingsError as error:
        raise RatingsError(f"{path}: {error}") from error
    except pd.errors.EmptyDataError as error:
        raise RatingsError(f"{path} has a header but is empty below it; add ratings.") from error
    except FileNotFoundError as error:
        raise RatingsError(f"{path} does not exist; name a file of ratings.") from error
    except (OSError, EOFError, ValueError) as error:  # pandas' parser errors are ValueErrors
        reason = " ".join(str(error).split())
        raise RatingsError(
            f"{path} cannot be read as a table of ratings ({reason}); it should have one rating "
            "a line: user, item, rating."
        ) from error


def as_ratings(table: Any) -> Ratings:
    """Return a table of ratings as `Ratings`.

    Parameters
    ----------
    table : Ratings, DataFrame, sparse matrix or path
        A DataFrame names its columns user, item, rating and perhaps time, or as files do (see
        `read_ratings`); a matrix is users x items; a path is read by `read_ratings`.

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
        return Ratings.from_frame(table, **names)
    if issparse(table):
        return Ratings.from_sparse(table)
    if isinstance(table, (str, os.PathLike)):
        return read_ratings(table)
    raise RatingsError(
        f"A {type(table).__name__} is no table of ratings; give a DataFrame, a sparse matrix of "
        "users x items, Ratings or the path of a file."
    )


def read_pairs(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a delimited file of users and items, gzipped or not.

    Parameters
    ----------
    path : path
        A pair a line: the columns that a header names user and item (see `read_ratings`), or the
        first two.

    Returns
    -------
    DataFrame
        Columns user and item.

    Raises
    ------
    RatingsError
        For a file that cannot be read as such a table.
    """
    return _read_columns(Path(path), ("user", "item"))


def read_titles_table(path: str | os.PathLike[str]) -> pd.Series[str]:
    """Read a delimited file of items and titles; return the titles by item id.

    Parameters
    ----------
    path : path
        An item a line: the columns that a header names item and title, or the first two.

    Raises
    ------
    RatingsError
        For a file that cannot be read as such a table.
    """
    table = _read_columns(Path(path), ("item", "title")).drop_duplicates("item")
    return table.set_index("item")["title"].astype(str)


def _read_columns(path: Path, roles: tuple[str, str]) -> pd.DataFrame:
    try:
        first = _first_line(path, "utf-8").rstrip("\r\n")
        separator = _find_separator(first)
        fields = [_plain(field) for field in first.split(separator)]
        known = [
            next((i for i, f in enumerate(fields) if f in ALIASES[role]), None) for role in roles
        ]
        named = None not in known
        table = pd.read_csv(
            path,
            sep=separator,
            usecols=known if named else [0, 1],
            header=None,
            skiprows=1 if named else 0,
            compression="gzip" if _is_gzip(path) else None,
            engine="python" if separator == "::" else "c",
            keep_default_na=False,
            na_values=[""],
        )
    except RatingsError as error:
        raise RatingsError(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise RatingsError(f"{path} does not exist; name a file of {roles[0]}s.") from error
    except (OSError, EOFError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RatingsError(
            f"{path} cannot be read ({reason}); a line should have {roles[0]} and {roles[1]}."
        ) from error
    order = sorted(range(2), key=lambda role: known[role] or 0) if named else [0, 1]
    table.columns = [roles[i] for i in order]
    for role in roles:
        if table[role].isna().any():
            row = int(table[role].isna().to_numpy().argmax())
            raise RatingsError(f"{path}: row {row + 1} has no {role}; fill it in or drop the row.")
    return table[list(roles)]


def _read_table(path: Path, **options: Any) -> pd.DataFrame:
    """Read a table in pieces, the fastest way; as a whole where pieces differ in their types."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.DtypeWarning)
        try:
            return pd.read_csv(path, **options)
        except pd.errors.DtypeWarning:  # numbers in some pieces, text in others
            return pd.read_csv(path, low_memory=False, **options)


def _plain(field: str) -> str:
    return "".join(c for c in field.lower() if c.isalnum())


def _first_line(path: Path, encoding: str) -> str:
    opened = gzip.open if _is_gzip(path) else open
    with opened(path, "rt", encoding=encoding) as file:
        line = str(file.readline())
    if not line.strip():
        raise RatingsError("The file is empty or begins with an empty line; give it ratings.")
    return line


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _find_separator(line: str) -> str:
    for separator in ("::", "\t", ",", ";"):
        if separator in line:
            return separator
    raise RatingsError(
        "The first line has no tab, comma, semicolon or '::' between fields; name the "
        "separator (--separator)."
    )


def _find_columns(
    fields: list[str], columns: Sequence[Column] | None, header: bool | None
) -> tuple[list[int], bool]:
    """Return the positions of user, item, rating and perhaps time; and whether a header is."""
    if columns is not None and len(columns) not in (3, 4):
        raise RatingsError("Name three columns (user, item, rating) or four (and time).")
    if columns is not None and any(isinstance(column, str) for column in columns):
        header = True
    if header is None:
        position = 2 if columns is None else int(columns[2])
        header = position < len(fields) and not _is_number(fields[position])
    if columns is None:
        # Without a header a fourth field is the time if it can be.
        timed = len(fields) > 3 and _is_number(fields[3])
        columns = _recognise(fields) if header else list(range(min(len(fields), 3 + timed)))
    positions = [c if isinstance(c, int) else _position(c, fields) for c in columns]
    if len(positions) < 3 or max(positions) >= len(fields):
        raise RatingsError(
            f"The first line has {len(fields)} field{'s'[: len(fields) != 1]}, too few for user, "
            "item and rating in the columns named; check separator and columns."
        )
    return positions, header


def _recognise(fields: list[str]) -> list[Column]:
    plain = [_plain(field) for field in fields]
    found: list[Column] = []
    for role in ("user", "item", "rating", "time"):
        aliases = ALIASES[role]
        matches = [i for i, name in enumerate(plain) if name in aliases]
        if matches:
            found.append(matches[0])
        elif role != "time":
            raise RatingsError(
                f"The header {', '.join(map(repr, fields))} names no {role} column; name the "
                "columns of user, item and rating."
            )
    return found


def _position(column: str, fields: list[str]) -> int:
    names = [field.strip().strip('"') for field in fields]
    if column not in names:
        raise RatingsError(
            f"The header has no column {column!r}; it has {', '.join(map(repr, names))}."
        )
    return names.index(column)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
