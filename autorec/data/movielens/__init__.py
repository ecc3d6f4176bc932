"""MovieLens: its releases, fetched, checked, unpacked and read.

Imports the tables of ratings beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._lazy import imported_when_used

if TYPE_CHECKING:
    from .fetching import fetch as fetch
    from .releases import RELEASES as RELEASES
    from .releases import find_release as find_release
    from .tables import load_movielens as load_movielens
    from .tables import read_titles as read_titles

__all__ = ["RELEASES", "fetch", "find_release", "load_movielens", "read_titles"]

__getattr__ = imported_when_used(
    __name__,
    {
        "fetching": ("fetch",),
        "releases": ("RELEASES", "find_release"),
        "tables": ("load_movielens", "read_titles"),
    },
)
