"""Compute: devices, and the two ways to compute a net, whole rows or only the rated cells.

Imports the model and the data that it computes with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from .._lazy import imported_when_used

if TYPE_CHECKING:
    from .choice import is_sparse as is_sparse
    from .devices import contexts as contexts
    from .devices import try_all_gpus as try_all_gpus

Compute = Literal["auto", "dense", "sparse"]

__all__ = ["Compute", "contexts", "is_sparse", "try_all_gpus"]

__getattr__ = imported_when_used(
    __name__, {"choice": ("is_sparse",), "devices": ("contexts", "try_all_gpus")}
)
