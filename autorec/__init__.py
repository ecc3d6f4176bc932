"""AutoRec, the autoencoder for rating prediction (Sedhain et al. 2015), in MXNet/Gluon."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._accuracy import Accuracy, accuracy
    from .baselines import BiasedMeans, BiasedMF, Means
    from .devices import contexts, try_all_gpus
    from .errors import AutorecError
    from .evaluation import evaluate, predict_cells
    from .history import Epoch, History
    from .interactions import Interactions
    from .model import AutoRec
    from .movielens import load_movielens, read_titles
    from .ratings import Ratings
    from .reading import read_ratings
    from .recommender import Recommender
    from .section import (
        evaluator,
        get_dataloader_workers,
        load_data_ml100k,
        read_data_ml100k,
        split_data_ml100k,
        train_recsys_rating,
    )
    from .splits import given_split, k_fold, last_split, leave_k_split, random_split
    from .training import fit

__version__ = "0.1.0"


class _Repairs:
    """Puts back what MXNet lacks where it is imported, by whoever does that after autorec."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name == "mxnet":
            from ._repairs import repair_quietly

            repair_quietly()


sys.meta_path.insert(0, _Repairs)

# Where each public name is. MXNet takes a second to import, and pandas another, so a name's module
# is imported when the name is first used: what needs neither starts at once, and works without.
_MODULES = {
    "baselines": ("BiasedMF", "BiasedMeans", "Means"),
    "checkpoints": ("Checkpoints",),
    "devices": ("contexts", "try_all_gpus"),
    "errors": ("AutorecError",),
    "_accuracy": ("Accuracy", "accuracy"),
    "evaluation": ("evaluate", "predict_cells"),
    "history": ("Epoch", "History"),
    "interactions": ("Interactions",),
    "model": ("AutoRec",),
    "movielens": ("load_movielens", "read_titles"),
    "ratings": ("Ratings",),
    "reading": ("read_ratings",),
    "recommender": ("Recommender",),
    "section": (
        "evaluator",
        "get_dataloader_workers",
        "load_data_ml100k",
        "read_data_ml100k",
        "split_data_ml100k",
        "train_recsys_rating",
    ),
    "splits": ("given_split", "k_fold", "last_split", "leave_k_split", "random_split"),
    "training": ("fit",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Accuracy",
    "AutoRec",
    "AutorecError",
    "BiasedMF",
    "BiasedMeans",
    "Checkpoints",
    "Epoch",
    "History",
    "Interactions",
    "Means",
    "Ratings",
    "Recommender",
    "accuracy",
    "contexts",
    "evaluate",
    "evaluator",
    "fit",
    "get_dataloader_workers",
    "given_split",
    "k_fold",
    "last_split",
    "leave_k_split",
    "load_data_ml100k",
    "load_movielens",
    "predict_cells",
    "random_split",
    "read_data_ml100k",
    "read_ratings",
    "read_titles",
    "split_data_ml100k",
    "train_recsys_rating",
    "try_all_gpus",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
