"""AutoRec, the autoencoder for rating prediction (Sedhain et al. 2015), in MXNet/Gluon."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ._lazy import imported_when_used, moved

if TYPE_CHECKING:
    from .baselines import BiasedMeans, BiasedMF, Means
    from .choosing.search import tune
    from .compute.devices import contexts, try_all_gpus
    from .data.interactions import Interactions
    from .data.movielens.tables import load_movielens, read_titles
    from .data.ratings import Ratings
    from .data.reading import read_ratings
    from .data.splits import given_split, k_fold, last_split, leave_k_split, random_split
    from .errors import AutorecError
    from .evaluation.accuracy import Accuracy, accuracy
    from .evaluation.prediction import evaluate, predict_cells
    from .model import AutoRec
    from .recommender.estimator import Recommender
    from .section import (
        evaluator,
        get_dataloader_workers,
        load_data_ml100k,
        read_data_ml100k,
        split_data_ml100k,
        train_recsys_rating,
    )
    from .training.checkpoints import Checkpoints
    from .training.history import Epoch, History
    from .training.loop import fit

__version__ = "0.1.0"


class _Repairs:
    """Puts back what MXNet lacks where it is imported, by whoever does that after autorec."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == "mxnet":
            from ._environment import repair_quietly

            repair_quietly()


sys.meta_path.insert(0, _Repairs)

# Where each public name is. MXNet takes a second to import, and pandas another, so a name's module
# is imported when the name is first used: what needs neither starts at once, and works without.
_MODULES = {
    "baselines": ("BiasedMF", "BiasedMeans", "Means"),
    "choosing.search": ("tune",),
    "training.checkpoints": ("Checkpoints",),
    "compute.devices": ("contexts", "try_all_gpus"),
    "errors": ("AutorecError",),
    "evaluation.accuracy": ("Accuracy", "accuracy"),
    "evaluation.prediction": ("evaluate", "predict_cells"),
    "training.history": ("Epoch", "History"),
    "data.interactions": ("Interactions",),
    "model": ("AutoRec",),
    "data.movielens.tables": ("load_movielens", "read_titles"),
    "data.ratings": ("Ratings",),
    "data.reading": ("read_ratings",),
    "recommender.estimator": ("Recommender",),
    "section": (
        "evaluator",
        "get_dataloader_workers",
        "load_data_ml100k",
        "read_data_ml100k",
        "split_data_ml100k",
        "train_recsys_rating",
    ),
    "data.splits": ("given_split", "k_fold", "last_split", "leave_k_split", "random_split"),
    "training.loop": ("fit",),
}
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
    "tune",
]

__getattr__ = imported_when_used(__name__, _MODULES)

# What the documents of 0.1.0 import.
moved("autorec.tables", "autorec.experiments.tables")
moved("autorec.workers", "autorec.distributed.workers")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
