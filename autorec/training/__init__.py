"""Training: the loop, its settings, the steps that it takes and the checkpoints that it leaves.

Imports evaluation, compute, model, data and distributed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import imported_when_used

if TYPE_CHECKING:
    from .checkpoints import Checkpoint as Checkpoint
    from .checkpoints import Checkpoints as Checkpoints
    from .history import Epoch as Epoch
    from .history import History as History
    from .loop import fit as fit
    from .pretraining import pretrain as pretrain
    from .settings import Settings as Settings

__all__ = ["Checkpoint", "Checkpoints", "Epoch", "History", "Settings", "fit", "pretrain"]

__getattr__ = imported_when_used(
    __name__,
    {
        "checkpoints": ("Checkpoint", "Checkpoints"),
        "history": ("Epoch", "History"),
        "loop": ("fit",),
        "pretraining": ("pretrain",),
        "settings": ("Settings",),
    },
)
