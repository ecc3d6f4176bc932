"""Data of the experiments: the splits that rows of tables name, from the user's files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from ..data.movielens.tables import RELEASES, fetch, load_movielens
from ..data.ratings import Ratings
from ..data.reading import read_ratings
from ..data.splits import given_split, random_split
from ..errors import DataUnavailableError
from .protocol import Splits

#: How the tables of those sets are read that no one can be sent to fetch: Jester's ratings may be
#: 0 and below, and CiaoDVD has pairs twice.
FILES: Mapping[str, Callable[[Path], Ratings]] = {
    "jester": partial(read_ratings, nonpositive="keep"),
    "ciao-dvd": partial(read_ratings, duplicates="last"),
}

#: Test ratings for each training rating, by a row's `splits`; 1/9 for the random ones.
TEST_TO_TRAIN: Mapping[str, float] = {"u1": 1 / 4, "u1-u5": 1 / 4}


def missing(splits: str, sources: Mapping[str, Path | None]) -> bool:
    """Tell whether splits are of a set that the user has to name a file of, and has not."""
    return splits in FILES and sources.get(splits) is None


def data_splits(sources: Mapping[str, Path | None], count: int = 5) -> Splits:
    """Return the splits that rows name.

    Parameters
    ----------
    sources : mapping of str to path or None
        For "100k" and "1m" the release's folder or zip, or a file of its ratings; None for the
        cache, else a download. For each of `FILES` a file of its ratings.
    count : int
        Random splits of each data set; they have the seeds 0, 1, ...
    """

    def load(name: str) -> Ratings:
        source = sources.get(name)
        if name in FILES:
            if source is None:
                raise DataUnavailableError(
                    f"The ratings of {name} are not downloaded; name a file of them with --{name}."
                )
            return FILES[name](source / "ratings.csv" if source.is_dir() else source)
        if source is not None and source.is_file() and source.suffix != ".zip":
            return read_ratings(source)
        return load_movielens(name, source)

    def splits(name: str) -> Iterator[tuple[str, Ratings, Ratings]]:
        if name in RELEASES or name in FILES:
            ratings = load(name)
            for seed in range(count):
                yield f"{name}-{seed}", *random_split(ratings, 0.1, seed)
            return
        folder = fetch("100k", sources.get("100k"))
        for fold in ["u1"] if name == "u1" else ["u1", "u2", "u3", "u4", "u5"]:
            files = [folder / f"{fold}.base", folder / f"{fold}.test"]
            absent = [file.name for file in files if not file.is_file()]
            if absent:
                raise DataUnavailableError(
                    f"{folder} has no {absent[0]}, as the copy in a wheel has only the ratings; "
                    "name the release of GroupLens with --ml-100k."
                )
            yield fold, *given_split(*map(read_ratings, files))

    return splits
