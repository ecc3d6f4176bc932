"""Choosing: a search for settings, on one's own ratings.

Imports the recommender and the baselines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import imported_when_used

if TYPE_CHECKING:
    from .search import Progress as Progress
    from .search import Tuning as Tuning
    from .search import tune as tune
    from .space import SPACE as SPACE

__all__ = ["SPACE", "Progress", "Tuning", "tune"]

__getattr__ = imported_when_used(
    __name__, {"search": ("Progress", "Tuning", "tune"), "space": ("SPACE",)}
)
