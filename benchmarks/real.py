"""MovieLens' own ratings, from the user's copy where one is named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from autorec.data.interactions import Interactions
from autorec.data.movielens.tables import load_movielens
from autorec.data.ratings import Ratings
from autorec.data.reading import read_ratings


def ratings(name: str, sources: Mapping[str, Path | None]) -> Ratings:
    """Return a release's ratings.

    Parameters
    ----------
    name : str
        "ML-100K" or "ML-1M".
    sources : mapping of str to path or None
        For such names the release's folder or zip, or a file of its ratings; None for the copy in
        the cache, fetched where it is missing.
    """
    source = sources.get(name)
    if source is not None and source.is_file() and source.suffix != ".zip":
        return read_ratings(source)
    return load_movielens(name.lower(), source)


def interactions(name: str, sources: Mapping[str, Path | None]) -> Interactions:
    """Return a release's ratings as a matrix of items x users."""
    return Interactions.from_ratings(ratings(name, sources))
