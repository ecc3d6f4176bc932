"""Preparation: what a training run does before its first epoch."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from .._bounds import real
from .._mxnet import Array, Block, Context, mx, np
from ..compute.choice import is_sparse
from ..data.interactions import Extent, Interactions
from ..distributed.columns import Columns
from ..distributed.workers import Workers
from ..errors import ConfigurationError
from ..model import AutoRec
from .checkpoints import Checkpoint, Checkpoints, CheckpointWriter
from .column_checkpoints import ColumnsWriter
from .columns import draw_own
from .settings import Settings
from .sparse_steps import SparseSteps, is_lazy
from .steps import DenseSteps, Steps

_log = logging.getLogger("autorec")


def check(
    settings: Settings,
    train: Extent,
    clip: tuple[float, float] | None,
    cold: float | None,
    checkpoints: Checkpoints | None,
    resume: bool | Checkpoint,
    workers: Workers,
) -> None:
    """Refuse what no run can begin with.

    Raises
    ------
    ConfigurationError
        If there is such.
    """
    if len(train) == 0:
        raise ConfigurationError("There are no ratings to train on; give at least one.")
    if clip is not None and not real("clip", clip[0]) <= real("clip", clip[1]):
        raise ConfigurationError(f"clip must be in ascending order, not {clip}.")
    if cold is not None:
        real("cold", cold)
    if resume and checkpoints is None:
        raise ConfigurationError("resume needs checkpoints; name the folder that they are in.")
    if workers.count > 1 and settings.optimizer.lower() == "sgld":
        raise ConfigurationError(
            "sgld draws, which several workers do differently; choose another optimizer."
        )


def settled(
    settings: Settings,
    net: AutoRec,
    train: Interactions,
    whole: Extent,
    contexts: Sequence[Context],
    workers: Workers,
) -> Settings:
    """Return the settings with what the ratings and the machine decide of them."""
    settings = replace(
        settings,
        compute=_chosen(settings, net, train, contexts),
        batch_size=_batch_size(settings, whole),
        steps_per_epoch=None,
        weight_decay=settings.weight_decay * (len(whole) / 1e5) ** settings.decay_growth,
        decay_growth=0.0,
    )
    lazy = is_lazy(settings, train, contexts, workers)
    if lazy:
        _log.info("Updating only the weights of columns that are rated in the batch (lazy).")
    return replace(settings, updates="lazy" if lazy else "exact")


def begin(
    checkpoints: Checkpoints | None,
    resume: bool | Checkpoint,
    settings: Settings,
    workers: Workers,
    depends_on: Callable[[], dict[str, object]],
    columns: Columns | None,
) -> tuple[Checkpoint | None, CheckpointWriter | None]:
    """Return what a run goes on from and what writes its checkpoints; check that all agree."""
    if checkpoints is None and workers.count == 1:
        return None, None
    resumed_from = None if checkpoints is None else checkpoints.begin(resume)
    facts = depends_on()
    if workers.count > 1:
        if columns is None:  # of columns any number of workers can take theirs
            facts["workers"] = workers.count
        epochs = {"epochs": settings.num_epochs, "from": resumed_from and resumed_from.epoch}
        workers.check_alike({**facts, **epochs})
    if checkpoints is None:
        return None, None
    facts.update(checkpoints.facts)
    if resumed_from is not None:
        resumed_from.check(facts, settings.num_epochs)
    if columns is not None:
        return resumed_from, ColumnsWriter(checkpoints, facts, resumed_from, columns, workers)
    if workers.rank > 0:
        return resumed_from, None
    return resumed_from, CheckpointWriter(checkpoints, facts, resumed_from)


def first_steps(
    net: AutoRec,
    train: Interactions,
    init: object,
    start: Mapping[str, Array],
    settings: Settings,
    contexts: Sequence[Context],
    workers: Workers,
    columns: Columns | None,
) -> Steps:
    """Initialise the net, and return what makes its steps."""
    if columns is not None:
        drawn = draw_own(net, init, columns, contexts[0])
        _initialise(net, mx.init.Zero(), {**drawn, **start}, contexts, settings)
        del drawn
        return SparseSteps(net, train, settings, contexts, workers, columns)
    _initialise(net, init, start, contexts, settings)
    kind = SparseSteps if settings.compute == "sparse" else DenseSteps
    return kind(net, train, settings, contexts, workers)


def _chosen(
    settings: Settings, net: Block, train: Interactions, contexts: Sequence[Context]
) -> Literal["dense", "sparse"]:
    sparse = is_sparse(settings.compute, net, train, contexts)
    share = len(train) / (train.shape[0] * train.shape[1])
    _log.info(
        f"Computing {'only the rated cells (sparse)' if sparse else 'whole rows (dense)'}; "
        f"{share:.1%} of the cells are rated."
    )
    return "sparse" if sparse else "dense"


def _batch_size(settings: Settings, train: Extent) -> int:
    if settings.steps_per_epoch is None:
        return settings.batch_size
    return math.ceil(len(train.rated_rows()) / settings.steps_per_epoch)


def _initialise(
    net: Block,
    init: object,
    start: Mapping[str, Array],
    contexts: Sequence[Context],
    settings: Settings,
) -> None:
    net.initialize(init, ctx=contexts, force_reinit=True)
    for name, value in start.items():
        net._collect_params_with_prefix()[name].set_data(np.array(value, dtype="float32"))
    for name, parameter in net.collect_params().items():
        decays = settings.decay_biases or not name.endswith("bias")
        parameter.wd_mult = 1.0 if decays else 0.0
