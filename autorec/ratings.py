"""Ratings: a checked table of who rated what, and how to read one from a file."""

from __future__ import annotations

import gzip
import hashlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Union

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .errors import RatingsError

Column = Union[str, int]
Duplicates = Literal["error", "last"]
Nonpositive = Literal["error", "keep"]

#: Header names by which a column is recognised, without case, underscores and spaces.
ALIASES = {
    "user": ("user", "userid", "uid"),
    "item": ("item", "itemid", "iid", "movie", "movieid"),
    "rating": ("rating", "score", "value"),
    "time": ("timestamp", "time"),
}


@dataclass(frozen=True)
class Ratings:
    """Ratings as codes and values, with the way back to the table's own ids.

    Parameters
    ----------
    users, items : ndarray of int32, shape (n,)
        Row n says that user ``user_ids[users[n]]`` rated item ``item_ids[items[n]]``.
    values : ndarray of float32, shape (n,)
        The ratings, finite.
    user_ids, item_ids : ndarray, shape (num_users,) and (num_items,)
        The table's own ids, sorted. A part of a table (see `take`) keeps all of them.
    times : ndarray of int64, shape (n,), optional
        Seconds since 1970, where the table has them.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    values: NDArray[np.float32]
    user_ids: NDArray[Any]
    item_ids: NDArray[Any]
    times: NDArray[np.int64] | None = None

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        user: Column = "user",
        item: Column = "item",
        rating: Column = "rating",
        time: Column | None = None,
        duplicates: Duplicates = "error",
        nonpositive: Nonpositive = "error",
    ) -> Ratings:
        """Check a table and code its ids.

        Parameters
        ----------
        frame : DataFrame
            One rating a row.
        user, item, rating, time : str or int
            The columns' names in `frame`; ``time`` may be left out.
        duplicates : {"error", "last"}
            What to do where a user rated an item more than once; the number of ratings dropped is
            given in a warning.
        nonpositive : {"error", "keep"}
            What to do with ratings of 0 and below, which the section's mask, the sign of the
            ratings, cannot hold; `fit` gives the net an explicit mask for those that are kept.

        Raises
        ------
        RatingsError
            For a missing column, an empty table, a missing id, a rating that is not a finite
            number or not above 0, or a repeated rating; the message names the row, from 1.
        """
        for option, value, choices in (
            ("duplicates", duplicates, ("error", "last")),
            ("nonpositive", nonpositive, ("error", "keep")),
        ):
            if value not in choices:
                raise RatingsError(
                    f"{option} must be {' or '.join(map(repr, choices))}, not {value!r}."
                )
        for name in [user, item, rating] + ([] if time is None else [time]):
            if name not in frame.columns:
                raise RatingsError(
                    f"The ratings have no column {name!r}; they have "
                    f"{', '.join(map(repr, frame.columns))}: name the right one."
                )
        if frame.empty:
            raise RatingsError("The ratings table is empty; give at least one rating.")
        users, user_ids = _codes(frame[user], user)
        items, item_ids = _codes(frame[item], item)
        ratings = cls(
            users=users,
            items=items,
            values=_numbers(frame[rating], rating, np.float32),
            user_ids=user_ids,
            item_ids=item_ids,
            times=None if time is None else _numbers(frame[time], time, np.int64),
        )
        if nonpositive == "error" and (ratings.values <= 0).any():
            row = int((ratings.values <= 0).argmax())
            raise RatingsError(
                f"Row {row + 1} has the rating {ratings.values[row]:g}, and the sign of a rating "
                "must be 1 to tell it from none: add a constant to all of them, or pass "
                "nonpositive='keep' to train with an explicit mask."
            )
        return ratings._without_duplicates(duplicates)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def num_users(self) -> int:
        """Users in the id map, those without a rating in this part included."""
        return len(self.user_ids)

    @property
    def num_items(self) -> int:
        """Items in the id map, those without a rating in this part included."""
        return len(self.item_ids)

    def take(self, rows: NDArray[Any]) -> Ratings:
        """Return some of the ratings under the same id maps.

        Parameters
        ----------
        rows : ndarray of int or bool
            Positions, or a mask of shape (n,).
        """
        times = None if self.times is None else self.times[rows]
        return replace(
            self,
            users=self.users[rows],
            items=self.items[rows],
            values=self.values[rows],
            times=times,
        )

    def pairs(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the ids of user and item of each rating, in order."""
        return self.user_ids[self.users], self.item_ids[self.items]

    def codes(self, users: Any, items: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the codes of ids.

        Parameters
        ----------
        users, items : array-like, shape (n,)

        Raises
        ------
        RatingsError
            If an id is not in its map, or there are more ids of one kind.
        """
        found = []
        for kind, ids, known in (("user", users, self.user_ids), ("item", items, self.item_ids)):
            asked = pd.Index(np.atleast_1d(ids))
            codes = pd.Index(known).get_indexer(asked)
            if (codes < 0).any():
                unknown = asked[codes < 0]
                raise RatingsError(
                    f"There is no {kind} {unknown[0]!r} in the ratings ({len(unknown):,} ids are "
                    f"unknown); ask for {kind}s that were in the table."
                )
            found.append(codes)
        if len(found[0]) != len(found[1]):
            raise RatingsError(
                f"{len(found[0])} users and {len(found[1])} items are no pairs; give as many."
            )
        return found[0], found[1]

    def frame(self) -> pd.DataFrame:
        """Return the ratings as a table in the file's own ids: user, item, rating, time."""
        users, items = self.pairs()
        columns = {"user": users, "item": items, "rating": self.values}
        return pd.DataFrame(columns if self.times is None else {**columns, "time": self.times})

    def checksum(self) -> str:
        """Return the SHA-256 of the ratings: equal for equal rows in equal order."""
        digest = hashlib.sha256()
        for array in (self.users, self.items, self.values):
            digest.update(array.tobytes())
        for ids in (self.user_ids, self.item_ids):
            digest.update("\n".join(map(str, ids)).encode())
        return digest.hexdigest()

    def _without_duplicates(self, duplicates: Duplicates) -> Ratings:
        cells = pd.Series(self.users.astype(np.int64) * self.num_items + self.items)
        repeated = cells.duplicated(keep="last").to_numpy()
        if not repeated.any():
            return self
        if duplicates == "last":
            warnings.warn(
                f"{repeated.sum():,} of {len(self):,} ratings were dropped: the same user rates "
                "the same item again below.",
                stacklevel=4,
            )
            return self.take(~repeated)
        first = int(repeated.argmax())
        again = int(np.flatnonzero(cells.to_numpy() == cells[first])[1])
        raise RatingsError(
            f"User {self.user_ids[self.users[first]]} rated item "
            f"{self.item_ids[self.items[first]]} in row {first + 1} and again in row {again + 1}; "
            "remove one, or keep the later with duplicates='last' (--duplicates last)."
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
        frame = pd.read_csv(
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
            low_memory=False,
        )
        names = ["user", "item", "rating", "time"][: len(positions)]
        order = {(2 * p if separator == "::" else p): n for p, n in zip(positions, names)}
        return Ratings.from_frame(
            frame.rename(columns=order),
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


def _codes(column: pd.Series[Any], name: Column) -> tuple[NDArray[np.int32], NDArray[Any]]:
    missing = column.isna().to_numpy()
    if missing.any():
        raise RatingsError(
            f"Row {int(missing.argmax()) + 1} has no {name}; fill it in or drop the row."
        )
    codes, ids = pd.factorize(column, sort=True)
    return codes.astype(np.int32), np.asarray(ids)


def _numbers(column: pd.Series[Any], name: Column, dtype: type) -> NDArray[Any]:
    numbers: NDArray[np.float64] = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    limit = np.finfo(np.float32).max if dtype is np.float32 else 2.0**63
    wrong = ~(np.abs(numbers) < limit)
    if wrong.any():
        row = int(wrong.argmax())
        raise RatingsError(
            f"Row {row + 1} has the {name} {column.iloc[row]!r}, which is not a finite number; "
            "mend or drop the row, or name the columns with columns= (--columns)."
        )
    return numbers.astype(dtype)


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
    plain = ["".join(c for c in field.lower() if c.isalnum()) for field in fields]
    found: list[Column] = []
    for role, aliases in ALIASES.items():
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
