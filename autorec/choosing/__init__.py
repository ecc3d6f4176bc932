"""Choosing: a search for settings, and a comparison of models, on one's own ratings.

Imports the recommender and the baselines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import imported_when_used

if TYPE_CHECKING:
    from .comparison import Comparison as Comparison
    from .comparison import cross_validate as cross_validate
    from .search import Progress as Progress
    from .search import Tuning as Tuning
    from .search import tune as tune
    from .space import SPACE as SPACE
    from .space import Between as Between
    from .space import OneOf as OneOf

__all__ = [
    "SPACE",
    "Between",
    "Comparison",
    "OneOf",
    "Progress",
    "Tuning",
    "cross_validate",
    "tune",
]

__getattr__ = imported_when_used(
    __name__,
    {
        "comparison": ("Comparison", "cross_validate"),
        "search": ("Progress", "Tuning", "tune"),
        "space": ("SPACE", "Between", "OneOf"),
    },
)
