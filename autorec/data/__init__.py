"""Data: tables of ratings, from a file or MovieLens to the sparse matrix that AutoRec reads.

Imports the storage below it; no MXNet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from .._lazy import imported_when_used

if TYPE_CHECKING:
    from .interactions import Interactions as Interactions
    from .ratings import Ratings as Ratings
    from .reading import as_ratings as as_ratings
    from .reading import read_pairs as read_pairs
    from .reading import read_ratings as read_ratings
    from .splits import given_split as given_split
    from .splits import k_fold as k_fold
    from .splits import last_split as last_split
    from .splits import leave_k_split as leave_k_split
    from .splits import random_split as random_split

View = Literal["item", "user"]
RatingsIn = Literal["raw", "shifted", "mean", "biases"]
RatingsOut = Literal["raw", "mean", "biases"]

__all__ = [
    "Interactions",
    "Ratings",
    "RatingsIn",
    "RatingsOut",
    "View",
    "as_ratings",
    "given_split",
    "k_fold",
    "last_split",
    "leave_k_split",
    "random_split",
    "read_pairs",
    "read_ratings",
]

__getattr__ = imported_when_used(
    __name__,
    {
        "interactions": ("Interactions",),
        "ratings": ("Ratings",),
        "reading": ("as_ratings", "read_pairs", "read_ratings"),
        "splits": ("given_split", "k_fold", "last_split", "leave_k_split", "random_split"),
    },
)
