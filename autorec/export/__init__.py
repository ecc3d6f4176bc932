"""Export: a trained model in files that need no autorec.

Imports what computes a model; the recommender only for its type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import imported_when_used

if TYPE_CHECKING:
    from .formats import export as export
    from .layers import Formula as Formula
    from .layers import formula as formula

__all__ = ["Formula", "export", "formula"]

__getattr__ = imported_when_used(
    __name__, {"formats": ("export",), "layers": ("Formula", "formula")}
)
