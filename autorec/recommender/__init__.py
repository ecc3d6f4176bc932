"""Recommender: from a table of ratings to recommendations, its presets, and on disk and back.

Imports training, evaluation and data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import imported_when_used

if TYPE_CHECKING:
    from .estimator import Recommender as Recommender
    from .presets import PRESETS as PRESETS
    from .presets import Parameters as Parameters

__all__ = ["PRESETS", "Parameters", "Recommender"]

__getattr__ = imported_when_used(
    __name__, {"estimator": ("Recommender",), "presets": ("PRESETS", "Parameters")}
)
