"""Ratings: a checked table of who rated what."""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, Union

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, spmatrix

from .._arrays import Ids, Integers
from .._terminal import counted
from ..errors import RatingsError
from . import ids
from .ids import Unknown

Column = Union[str, int]
Duplicates = Literal["error", "last"]
Nonpositive = Literal["error", "keep"]

_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")

Number = TypeVar("Number", bound=np.generic)


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
    user_ids: Ids
    item_ids: Ids
    times: NDArray[np.int64] | None = None

    @classmethod
    def from_sparse(cls, matrix: spmatrix, nonpositive: Nonpositive = "error") -> Ratings:
        """Take the stored cells of a SciPy sparse matrix; ids are rows and columns, from 0.

        Parameters
        ----------
        matrix : sparse matrix or array, shape (num_users, num_items)
        nonpositive
            See `from_frame`.

        Raises
        ------
        RatingsError
            See `from_frame`.
        """
        cells = matrix.tocoo()
        table = pd.DataFrame({"user": cells.row, "item": cells.col, "rating": cells.data})
        part = cls.from_frame(table, nonpositive=nonpositive)
        # Empty rows and columns are users and items too.
        return replace(
            part,
            users=cells.row.astype(np.int32),
            items=cells.col.astype(np.int32),
            user_ids=np.arange(matrix.shape[0]),
            item_ids=np.arange(matrix.shape[1]),
        )

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
            count = frame.columns.tolist().count(name)
            if count == 0:
                raise RatingsError(
                    f"The ratings have no column {name!r}; they have "
                    f"{', '.join(map(repr, frame.columns))}: name the right one."
                )
            if count > 1:
                raise RatingsError(
                    f"The ratings have {count} columns {name!r}; drop or rename all but one."
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
                "nonpositive='keep' (--nonpositive keep) to train with an explicit mask."
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

    def take(self, rows: Integers | NDArray[np.bool_]) -> Ratings:
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

    def pairs(self) -> tuple[Ids, Ids]:
        """Return the ids of user and item of each rating, in order."""
        return self.user_ids[self.users], self.item_ids[self.items]

    def codes(
        self, users: object, items: object, unknown: Unknown = "error"
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the codes of pairs of ids, compared as `ids.places` says.

        Parameters
        ----------
        users, items : array-like, shape (n,)
        unknown : {"error", "fallback"}
            Whether ids that are not in their map are refused, or have the code -1.

        Raises
        ------
        RatingsError
            For what is no id, or not in its map, or where there are more ids of one kind.
        """
        users, items = ids.listed("user", users), ids.listed("item", items)
        if len(users) != len(items):
            raise RatingsError(
                f"{counted(len(users), 'user')} and {counted(len(items), 'item')} are no pairs; "
                "give as many."
            )
        return self.user_codes(users, unknown), self.item_codes(items, unknown)

    def user_codes(self, users: object, unknown: Unknown = "error") -> NDArray[np.int64]:
        """Return the codes of users' ids, see `codes`."""
        return ids.places("user", users, self.user_ids, unknown)

    def item_codes(self, items: object, unknown: Unknown = "error") -> NDArray[np.int64]:
        """Return the codes of items' ids, see `codes`."""
        return ids.places("item", items, self.item_ids, unknown)

    def joined(self, other: Ratings, fixed: str | None) -> Ratings:
        """Return the ratings with others, which replace those of the same user and item.

        Parameters
        ----------
        other : Ratings
        fixed : {"user", "item"}, optional
            Of which kind `other` may bring no new ids. New ids of the other kind, or of both,
            follow the old, in the order in which they come and the type that the old have.

        Raises
        ------
        RatingsError
            If it brings a new id of the fixed kind, or one that cannot be beside the old.
        """
        users, items = other.pairs()
        maps = {"user": self.user_ids, "item": self.item_ids}
        for free, brought in (("user", users), ("item", items)):
            if free != fixed:
                maps[free] = ids.joined(free, maps[free], brought)
        codes = {
            kind: ids.places(kind, of, maps[kind])
            for kind, of in (("user", users), ("item", items))
        }
        table = pd.DataFrame(
            {
                "user": np.concatenate([self.users, codes["user"]]),
                "item": np.concatenate([self.items, codes["item"]]),
                "value": np.concatenate([self.values, other.values]),
            }
        ).drop_duplicates(["user", "item"], keep="last")
        return Ratings(
            users=table["user"].to_numpy(dtype=np.int32),
            items=table["item"].to_numpy(dtype=np.int32),
            values=table["value"].to_numpy(dtype=np.float32),
            user_ids=maps["user"],
            item_ids=maps["item"],
        )

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
        for known in (self.user_ids, self.item_ids):
            digest.update("\n".join(map(str, known)).encode())
        return digest.hexdigest()

    def _without_duplicates(self, duplicates: Duplicates, rows: Integers | None = None) -> Ratings:
        # Repeated cells are one in a matrix, which is cheaper to make than a hash of each, above
        # all for a file that goes by users.
        ones = np.ones(len(self), dtype=np.int8)
        shape = (self.num_items, self.num_users)
        if csr_matrix((ones, (self.items, self.users)), shape=shape).nnz == len(self):
            return self
        cells = pd.Series(self.users.astype(np.int64) * self.num_items + self.items)
        repeated = cells.duplicated(keep="last").to_numpy()
        if duplicates == "last":
            warnings.warn(
                f"Dropped {repeated.sum():,} of {counted(len(self), 'rating')}: the same user "
                "rates the same item again below.",
                stacklevel=4,
            )
            return self.take(~repeated)
        first = int(repeated.argmax())
        again = int(np.flatnonzero(cells.to_numpy() == cells[first])[1])
        one, other = (each + 1 if rows is None else rows[each] + 1 for each in (first, again))
        raise RatingsError(
            f"User {self.user_ids[self.users[first]]} rated item "
            f"{self.item_ids[self.items[first]]} in row {one} and again in row {other}; "
            "remove one, or keep the later with duplicates='last' (--duplicates last)."
        )


def _codes(column: pd.Series, name: Column) -> tuple[NDArray[np.int32], Ids]:
    missing = column.isna().to_numpy()
    if missing.any():
        raise RatingsError(
            f"Row {int(missing.argmax()) + 1} has no {name}; fill it in or drop the row."
        )
    codes, different = pd.factorize(column, sort=True)
    plain = np.asarray(different)
    # What can hold NA or anything may well hold whole numbers.
    return codes.astype(np.int32), ids.listed("id", plain) if plain.dtype == object else plain


def _numbers(
    column: pd.Series, name: Column, dtype: type[Number], rows: Integers | None = None
) -> NDArray[Number]:
    if column.dtype.kind in "mMc":
        raise RatingsError(
            f"The column {name!r} holds {column.dtype}, and not plain numbers; turn it into these."
        )
    parsed = pd.to_numeric(column, errors="coerce")
    # Columns that can hold NA are no arrays of NumPy.
    missing = {} if isinstance(parsed.dtype, np.dtype) else {"na_value": np.nan}
    numbers: NDArray[np.float64] = parsed.to_numpy(dtype=np.float64, **missing)
    limit = np.finfo(np.float32).max if dtype is np.float32 else 2.0**63
    wrong = ~(np.abs(numbers) < limit)
    if wrong.any():
        place = int(wrong.argmax())
        value, row = column.iloc[place], place if rows is None else rows[place]
        if isinstance(value, str) and _DECIMAL_COMMA.fullmatch(value.strip()):
            raise RatingsError(
                f"Row {row + 1} has the {name} {value!r}, with a decimal comma; write it with a "
                f"point, {value.strip().replace(',', '.')}, in each row."
            )
        raise RatingsError(
            f"Row {row + 1} has the {name} {value!r}, which is not a finite number; "
            "mend or drop the row, or name the columns with columns= (--columns)."
        )
    return numbers.astype(dtype)
