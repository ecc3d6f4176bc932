"""Evaluation: predictions, and how good they are; accuracy and ranking are plain NumPy.

Imports compute, model and data; accuracy and ranking import errors only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import imported_when_used
from .accuracy import Accuracy, accuracy
from .ranking import Ranking, ranking

if TYPE_CHECKING:
    from .prediction import evaluate as evaluate
    from .prediction import predict_cells as predict_cells
    from .top_items import best_items as best_items

__all__ = ["Accuracy", "Ranking", "accuracy", "best_items", "evaluate", "predict_cells", "ranking"]

__getattr__ = imported_when_used(
    __name__, {"prediction": ("evaluate", "predict_cells"), "top_items": ("best_items",)}
)
