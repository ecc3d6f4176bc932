"""MovieLens: the ratings and the titles of a release, fetched where they are missing."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import pandas as pd

from ...errors import DataCorruptError, DataUnavailableError
from ..ids import written_number
from ..ratings import Ratings
from ..reading import read_ratings
from .fetching import cache_folder, fetch, ratings_file
from .releases import RELEASES, Release, find_release

__all__ = [
    "RELEASES",
    "TITLES",
    "Release",
    "cache_folder",
    "fetch",
    "find_release",
    "load_movielens",
    "ratings_file",
    "read_titles",
    "read_titles_file",
]

#: The separator of each file of titles, in the order in which they are looked for.
TITLES = {"u.item": "|", "movies.dat": "::", "movies.csv": ",", "ml-100k.item": "\t"}


def load_movielens(name: str = "100k", source: str | os.PathLike[str] | None = None) -> Ratings:
    """Read the ratings of a release, fetching it first where it is missing.

    Parameters and errors are those of `fetch`.

    Returns
    -------
    Ratings
        With the times of the ratings.
    """
    release = find_release(name)
    path = ratings_file(fetch(name, source), release)
    return read_ratings(path, separator=release.separator, header=release.header)


def read_titles(folder: str | os.PathLike[str]) -> pd.Series[str]:
    """Titles of a release's films, with their year, as in "Toy Story (1995)".

    Parameters
    ----------
    folder : path or str
        A release's folder; or the name of a release as a str, which is then fetched.

    Returns
    -------
    pandas.Series of str
        The title by item id, the index (int64), in the order of the file. Blanks around a title
        are taken off.

    Raises
    ------
    DataUnavailableError
        If the folder has no file of titles.
    DataCorruptError
        If a line of that file has no id or no title.
    """
    is_name = isinstance(folder, str) and folder.lower().removeprefix("ml-") in RELEASES
    place = fetch(str(folder)) if is_name else Path(folder).expanduser()
    path = next((place / file for file in TITLES if (place / file).is_file()), None)
    if path is None:
        raise DataUnavailableError(f"{place} has no file of titles: none of {', '.join(TITLES)}")
    return read_titles_file(path)


def read_titles_file(path: Path) -> pd.Series[str]:
    """Titles in a release's file, one of `TITLES` by its name; see `read_titles`."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DataUnavailableError(f"{path} does not exist; name a file of titles.") from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        # 100k and 1m are in Latin-1, whose accented letters are no valid UTF-8.
        text = raw.decode("latin-1")
    lines = io.StringIO(text, newline="")
    separator = TITLES[path.name]
    rows = csv.reader(lines) if separator == "," else (row.split(separator) for row in lines)
    titles: dict[int, str] = {}
    line = 1
    try:
        for row in rows:
            if line > 1 or separator not in (",", "\t"):  # which begin with the columns' names
                title = row[1]
                if separator == "\t":
                    # The film without a title has no year either; what it has is misspelt.
                    title = "unknown" if title == "unkonwn" else f"{title} ({row[2]})"
                number = written_number(row[0])
                if not isinstance(number, int):
                    raise ValueError(row[0])
                titles[number] = title.strip()
            line += 1
    except (IndexError, ValueError, csv.Error):
        raise DataCorruptError(f"{path}, line {line}: no item id and title") from None
    index = pd.Index(list(titles), dtype="int64", name="item")
    return pd.Series(list(titles.values()), index=index, dtype=object, name="title")
