"""Pieces: a file of ratings gone through some lines at a time, by those who keep a share of it.

A share is that of some users, or of some items, by a hash of the id: what a worker owns, see
`autorec.distributed`. Two readings of the file, the first for the ids and the second for the
ratings, need memory for the ids and for the share.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._arrays import Ids
from .._storage.leftovers import held, sweep_folders
from ..errors import ConfigurationError, RatingsError
from . import View
from .ids import read_ids
from .ratings import Column, Nonpositive, Ratings, _numbers
from .reading import _find_columns, _look, _reading, named, read_ratings
from .sources import Text

#: Lines at a time.
LINES = 1 << 18

#: Says of each of some ids who owns it.
Owners = Callable[[Ids], NDArray[np.int64]]


@dataclass(frozen=True)
class Share:
    """Some of a table's ratings, under the ids of all.

    Parameters
    ----------
    ratings : Ratings
    rows : ndarray of int64, shape (n,)
        Where each stands in the table.
    total : int
        Ratings in the table.
    """

    ratings: Ratings
    rows: NDArray[np.int64]
    total: int

    def split(self, ratio: float, seed: int) -> tuple[Share, Share]:
        """Hold out what `random_split` holds out of the whole table, as far as it is here."""
        size = min(max(round(ratio * self.total), 1), self.total - 1)
        held = np.zeros(self.total, dtype=bool)
        held[np.random.default_rng(seed).choice(self.total, size, replace=False)] = True
        parts = []
        for chosen, count in ((~held, self.total - size), (held, size)):
            places = np.cumsum(chosen, dtype=np.int64) - 1
            mine = chosen[self.rows]
            parts.append(Share(self.ratings.take(mine), places[self.rows[mine]], count))
        return parts[0], parts[1]


def in_pieces(
    path: str | os.PathLike[str],
    *,
    separator: str | None = None,
    columns: Sequence[Column] | None = None,
    encoding: str = "utf-8",
    lines: int | None = None,
) -> Iterator[pd.DataFrame]:
    """Yield a file of ratings as tables of texts: user, item, rating and perhaps time.

    Parameters
    ----------
    path, separator, columns, encoding
        See `read_ratings`.
    lines : int, optional
        Of each piece, at most; `LINES` by default.

    Raises
    ------
    RatingsError
        For a file that cannot be read as such a table.
    """
    should = "it should have one rating a line: user, item, rating"
    with _reading(path, "a table of ratings", "rating", should, encoding) as file:
        rows, separator = _look(file, encoding, separator, 3)
        positions, has_header = _find_columns(rows[0], columns, None)
        roles = ("user", "item", "rating", "time")[: len(positions)]
        # The fast parser takes one character: "a::b" is read as "a", "", "b".
        names = {len(separator) * at: role for at, role in zip(positions, roles)}
        reader = pd.read_csv(
            Text(file, encoding),
            sep=separator[0],
            usecols=list(names),
            header=None,
            skiprows=1 if has_header else 0,
            keep_default_na=False,
            na_values=[""],
            dtype=str,
            chunksize=lines or LINES,
        )
        for table in reader:
            piece = table.rename(columns=names)[list(roles)]
            for role in ("user", "item"):
                missing = piece[role].isna().to_numpy()
                if missing.any():
                    row = int(piece.index[int(missing.argmax())]) + 1
                    raise RatingsError(f"Row {row} has no {role}; fill it in or drop the row.")
            yield piece


def read_share(
    path: str | os.PathLike[str],
    view: View,
    owners: Owners,
    rank: int,
    *,
    nonpositive: Nonpositive = "error",
    separator: str | None = None,
    columns: Sequence[Column] | None = None,
) -> Share:
    """Read the ratings of the columns that one of several workers owns, and the ids of all.

    Parameters
    ----------
    path, separator, columns
        See `read_ratings`; a regular file.
    view : {"item", "user"}
        Columns are users in the item view, items in the user view.
    owners : callable
    rank : int
        The worker's.
    nonpositive
        See `Ratings.from_frame`.

    Raises
    ------
    RatingsError
        As `read_ratings` does.
    """
    texts = _no_texts()
    for piece in in_pieces(path, separator=separator, columns=columns):
        _add_texts(texts, piece)
    ids, codes = {}, {}
    for role, every in texts.items():
        values = read_ids(pd.Series(every.to_numpy())).to_numpy()
        ids[role], codes[role] = np.unique(values, return_inverse=True)
    role = "user" if view == "item" else "item"
    mine = owners(ids[role]) == rank
    found: dict[str, list[NDArray[np.generic]]] = {}
    total = 0
    for piece in in_pieces(path, separator=separator, columns=columns):
        places = {each: codes[each][texts[each].get_indexer(piece[each])] for each in texts}
        chosen = mine[places[role]]
        kept = piece[chosen]
        parts: dict[str, NDArray[np.generic]] = {
            "users": places["user"][chosen].astype(np.int32),
            "items": places["item"][chosen].astype(np.int32),
            "rows": (rows := np.flatnonzero(chosen) + total),
        }
        with named(path):
            parts["values"] = _numbers(kept["rating"], "rating", np.float32, rows)
            if "time" in piece:
                parts["times"] = _numbers(kept["time"], "time", np.int64, rows)
        for name, values in parts.items():
            found.setdefault(name, []).append(values)
        total += len(piece)
    arrays = {name: np.concatenate(pieces) for name, pieces in found.items()}
    rows = arrays.pop("rows").astype(np.int64)
    ratings = Ratings(**arrays, user_ids=ids["user"], item_ids=ids["item"])  # type: ignore[arg-type]
    if nonpositive == "error" and (ratings.values <= 0).any():
        row = int(rows[(ratings.values <= 0).argmax()])
        with named(path):
            raise RatingsError(
                f"Row {row + 1} has a rating of 0 or below; add a constant to all, or keep them "
                "with --nonpositive keep."
            )
    with named(path):
        return Share(ratings._without_duplicates("error", rows), rows, total)


def read_part(
    folder: Path, view: View, owners: Owners, rank: int, count: int, nonpositive: Nonpositive
) -> Share:
    """Read one of the files that `split_file` wrote, under the ids of all.

    Raises
    ------
    ConfigurationError
        If the folder is not split into so many, or not by what the view has as columns.
    RatingsError
        See `read_ratings`.
    """
    path = folder / f"ratings-{rank}-of-{count}.csv"
    if not path.is_file():
        raise ConfigurationError(
            f"{folder} has no {path.name}; run autorec data split with --workers {count}."
        )
    ids = {}
    for role in ("user", "item"):
        texts = pd.read_csv(folder / f"{role}s.csv", dtype=str, keep_default_na=False)[role]
        ids[role] = np.unique(read_ids(texts).to_numpy())
    known = Ratings(
        users=np.empty(0, np.int32),
        items=np.empty(0, np.int32),
        values=np.empty(0, np.float32),
        user_ids=ids["user"],
        item_ids=ids["item"],
    )
    found = read_ratings(path, nonpositive=nonpositive, like=known)
    users, items = known.codes(*found.pairs())
    columns, every = (users, ids["user"]) if view == "item" else (items, ids["item"])
    if (owners(every)[columns] != rank).any():
        by = "user" if view == "item" else "item"
        raise ConfigurationError(f"{folder} is not split by {by}; split the file with --by {by}.")
    ratings = replace(
        found,
        users=users.astype(np.int32),
        items=items.astype(np.int32),
        user_ids=ids["user"],
        item_ids=ids["item"],
    )
    return Share(ratings, np.arange(len(ratings)), len(ratings))


def split_file(
    path: str | os.PathLike[str],
    folder: Path,
    count: int,
    owners: Owners,
    *,
    by: str = "user",
    separator: str | None = None,
    columns: Sequence[Column] | None = None,
) -> list[int]:
    """Write a file of ratings as several, each with the ratings of some users.

    Parameters
    ----------
    path, separator, columns
        See `read_ratings`.
    folder : Path
        New: gets ratings-0-of-4.csv, for example, and users.csv and items.csv, the ids of all.
    count : int
        Of files.
    owners : callable
    by : {"user", "item"}

    Returns
    -------
    list of int
        Ratings of each file.
    """
    if folder.exists():
        raise ConfigurationError(f"{folder} is there already; name a new folder with --output.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{folder.name}."
    sweep_folders(folder.parent, prefix)
    sizes = [0] * count
    texts = _no_texts()
    with tempfile.TemporaryDirectory(prefix=prefix, dir=folder.parent) as place, held(Path(place)):
        whole = Path(place) / "whole"
        whole.mkdir()
        for piece in in_pieces(path, separator=separator, columns=columns):
            _add_texts(texts, piece)
            ranks = owners(piece[by].to_numpy())
            for rank in range(count):
                part = piece[ranks == rank]
                name = whole / f"ratings-{rank}-of-{count}.csv"
                part.to_csv(name, mode="a", header=not name.exists(), index=False)
                sizes[rank] += len(part)
        for role, every in texts.items():
            pd.Series(every, name=role).to_csv(whole / f"{role}s.csv", index=False)
        whole.rename(folder)
    return sizes


def _no_texts() -> dict[str, pd.Index[str]]:
    return {role: pd.Index([], dtype=object) for role in ("user", "item")}


def _add_texts(texts: dict[str, pd.Index[str]], piece: pd.DataFrame) -> None:
    """Add the ids of a piece that are new, as they are written, to those that are known."""
    for role, known in texts.items():
        new = pd.Index(piece[role].unique(), dtype=object)
        texts[role] = known.append(new[known.get_indexer(new) < 0])
