"""Training: batches over one or several devices, a Gluon trainer, and the history of a run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Callable, Literal

import numpy

from ._mxnet import mx, np
from .checkpoints import Checkpoint, Checkpoints, Trail
from .devices import try_all_gpus
from .epochs import repeat_epochs
from .errors import ConfigurationError
from .evaluation import evaluate
from .history import Epoch, EpochSums, History
from .interactions import Interactions
from .progress import Progress, interrupts_held
from .settings import run_settings
from .sparse import Compute, SparseSteps, is_sparse
from .steps import DenseSteps, connect
from .workers import Workers

Loss = Literal["mean", "sum"]

_log = logging.getLogger("autorec")


def fit(
    net: Any,
    train: Interactions,
    *,
    validation: Interactions | None = None,
    test: Interactions | None = None,
    num_epochs: int = 25,
    batch_size: int = 256,
    loss: Loss = "mean",
    optimizer: str = "adam",
    learning_rate: float = 0.002,
    learning_rate_decay: float = 1.0,
    weight_decay: float = 1e-5,
    decay_biases: bool = True,
    decay_power: float = 0.0,
    init: Any | None = None,
    start: Mapping[str, Any] | None = None,
    averaging: float = 0.0,
    patience: int | None = None,
    clip: tuple[float, float] | None = None,
    cold: float | None = None,
    contexts: Sequence[Any] | None = None,
    compute: Compute = "auto",
    seed: int = 0,
    on_epoch: Callable[[Epoch], None] | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool | Checkpoint = False,
    workers: Workers | None = None,
) -> History:
    """Train AutoRec; the defaults are the section's settings.

    Parameters
    ----------
    net : AutoRec
        Its parameters are initialised here, whatever they were.
    train : Interactions
        The only ratings that the weights depend on.
    validation : Interactions, optional
        Part of the ratings at hand, held out: the net ends with the weights of the epoch that
        predicts these best.
    test : Interactions, optional
        Reported after each epoch and used for nothing else.
    num_epochs, batch_size : int
        Passes over the rows, and rows a step; the last step of a pass may have fewer.
    loss : {"mean", "sum"}
        What a row adds: the section's half squared error over all cells of the row, rated or not,
        or the paper's sum of squared errors over the rated cells. See the notes.
    optimizer : str
        Any of Gluon's, by name.
    learning_rate, learning_rate_decay : float
        Epoch n goes at ``learning_rate * learning_rate_decay ** (n - 1)``.
    weight_decay : float
        The optimizer adds weight_decay times the parameter to its gradient.
    decay_biases : bool
        Whether biases decay too, as in the section, or the weight matrices alone, as in the paper.
    decay_power : float
        The decay of what the two large matrices hold for a column with n ratings is multiplied by
        ``(n / mean n) ** decay_power``: 0 treats all alike, 1 is the weighted regularisation of
        Zhou et al. (2008).
    init : mx.init.Initializer, optional
        Of the weights; Normal(0.01), as in the section, by default. Biases start at 0.
    start : mapping of str to ndarray, optional
        Values to start from instead, by parameter name ("encoder.weight", ...); see `pretrain`.
    averaging : float
        From 0 up to 1: the net predicts, and ends, with a mean of the weights after each epoch, in
        which those of an epoch count `averaging` times what those of the next do; 0 for the last
        weights alone. (Polyak & Juditsky 1992, with weights that fade.)
    patience : int, optional
        Stop after so many epochs without a better validation RMSE.
    clip, cold : optional
        How the validation and test ratings are predicted, see `predict_cells`.
    contexts : sequence of Context, optional
        Every GPU, else the CPU, by default.
    compute : {"auto", "dense", "sparse"}
        Whole rows, or rated cells alone; the same numbers, to within rounding. See `is_sparse`.
    seed : int
        Of weights, order and dropout. It seeds MXNet's generators, anew in each epoch.
    on_epoch : callable, optional
        Called with each `Epoch`, once its checkpoint is written.
    checkpoints : Checkpoints, optional
        Where to leave what the run can be resumed from. Ctrl-C leaves one, too.
    resume : bool or Checkpoint
        Whether to go on from the latest of the checkpoints, where there is one, or the one to go
        on from. The run ends in the weights, to the bit, of one that was never interrupted, on the
        same kind of machine with the same versions. `num_epochs` may be more than it was; `start`
        is not needed again; all else has to be the same.
    workers : Workers, optional
        With which others the run is shared, see `Workers.join`. All call `fit` with the same
        arguments, and end with the same weights and history; the checkpoints are rank 0's. Each
        step takes a share of the batch's rows from every worker, and is, but for dropout and
        rounding, that of one worker on the whole batch.

    Returns
    -------
    History
        Of all epochs, also those before the run was resumed.

    Raises
    ------
    ConfigurationError
        If there is nothing to train on, Gluon has no such optimizer, there is patience without
        validation, a run is resumed with other settings or ratings, or workers have different ones.
    DataCorruptError
        If none of the checkpoints can be used.
    TrainingError
        If the training error is no longer finite.

    Notes
    -----
    The paper (equation 2) minimises ``Σ (r - r̂)² + λ/2 (|W|² + |V|²)``, summed over the ratings of
    all M rows. `fit` averages over rows: the same objective is the loss "sum" with
    ``weight_decay = λ / M``, and, for rows of N cells, the loss "mean" with
    ``weight_decay = λ / (2 M N)``. (The section writes λ for λ/2.)
    """
    if len(train) == 0:
        raise ConfigurationError("There are no ratings to train on; give at least one.")
    if loss not in ("mean", "sum"):
        raise ConfigurationError(f"loss must be 'mean' or 'sum', not {loss!r}.")
    if resume and checkpoints is None:
        raise ConfigurationError("resume needs checkpoints; name the folder that they are in.")
    contexts = list(contexts or try_all_gpus())
    init = init or mx.init.Normal(0.01)
    sparse = is_sparse(compute, net, train, contexts)
    way = "sparse" if sparse else "dense"
    share = len(train) / (train.shape[0] * train.shape[1])
    _log.info(
        f"Computing {'rated cells alone' if sparse else 'whole rows'} ({way}); {share:.1%} of the "
        "cells are rated."
    )
    workers = workers or Workers()
    several = workers.count > 1
    if several and optimizer.lower() == "sgld":
        raise ConfigurationError(
            "sgld draws, which several workers do differently; choose another optimizer."
        )
    begun, trail = None, None
    if checkpoints is not None:
        begun = checkpoints.begin(resume)
    if checkpoints is not None or several:
        settings = run_settings(
            net,
            train,
            validation,
            test,
            init,
            contexts,
            batch_size=batch_size,
            loss=loss,
            optimizer=optimizer.lower(),
            learning_rate=learning_rate,
            learning_rate_decay=learning_rate_decay,
            weight_decay=weight_decay,
            decay_biases=decay_biases,
            decay_power=decay_power,
            averaging=averaging,
            patience=patience,
            clip=clip,
            cold=cold,
            compute=way,
            seed=seed,
            **({"workers": workers.count} if several else {}),
        )
        if several:
            resumed = {"epochs": num_epochs, "from": begun and begun.epoch}
            workers.check_alike({**settings, **resumed})
        if checkpoints is not None:
            settings.update(checkpoints.facts)
            if begun is not None:
                begun.check(settings, num_epochs)
            trail = Trail(checkpoints, settings, begun) if workers.rank == 0 else None
    mx.random.seed(seed)
    shuffle = numpy.random.default_rng(seed)
    _initialise(net, init, start or {}, contexts, decay_biases)
    scale = 1 / (2 * train.shape[1]) if loss == "mean" else 1.0
    decays = weight_decay * train.column_frequencies() ** decay_power if decay_power else None
    rates = optimizer, learning_rate, weight_decay
    kind = SparseSteps if sparse else DenseSteps
    steps = kind(net, train, contexts, scale, *rates, decays=decays, workers=workers)
    progress = Progress()
    if begun is not None or several:
        for context in contexts:  # gives the parameters their shapes, and draws the weights
            net(np.zeros((1, train.shape[1]), ctx=context))
    if begun is not None:
        with begun.restored() as state:
            progress = Progress.resume(net, begun.history, state)
            steps.restore(state["steps"])
            shuffle.bit_generator.state = state["shuffle"]
    if several:
        connect(steps.trainer)
    progress.history.compute = way
    # Whether anything looks at the net between epochs, as far as is known here.
    held_out = validation is not None or test is not None
    watched = held_out or averaging > 0 or trail is not None or on_epoch is not None

    def run_epoch(number: int) -> Epoch:
        if number > 1 or several:
            # The state of MXNet's generators cannot be read, so an epoch begins with one that it
            # can begin with again. The first goes on from the one that drew the weights, unless
            # workers, who drew the same weights, are to draw dropout of their own.
            mx.random.seed(_epoch_seed(seed, number, workers.rank))
        sums = EpochSums()
        for rows in train.batches(batch_size, shuffle):
            sums.add(workers.total(steps.step(rows)), train.count(rows), len(rows))
            sums.check(number)
            check_interrupt()
        if watched or number == num_epochs:
            steps.settle()
        return sums.close(number)

    def after_epoch() -> None:
        if trail is not None:
            state = {"steps": steps.state(), "shuffle": shuffle.bit_generator.state}
            trail.add(progress.history, {**progress.state(net), **state})
        check_interrupt()

    def rmse(ratings: Interactions) -> float:
        options: dict[str, Any] = {"clip": clip, "cold": cold, "compute": compute}
        return evaluate(net, train, ratings, contexts, workers=workers, **options).rmse

    with interrupts_held() as check_interrupt, trail or nullcontext():
        try:
            return repeat_epochs(
                run_epoch,
                steps.trainer,
                net,
                num_epochs=num_epochs,
                learning_rate=learning_rate,
                learning_rate_decay=learning_rate_decay,
                validation_rmse=None if validation is None else lambda: rmse(validation),
                test_rmse=None if test is None else lambda: rmse(test),
                averaging=averaging,
                patience=patience,
                on_epoch=on_epoch,
                progress=progress,
                after_epoch=after_epoch,
            )
        except BaseException:
            if not watched:
                steps.settle()  # what was learned until Ctrl-C, for example
            raise


def _initialise(
    net: Any, init: Any, start: Mapping[str, Any], contexts: Sequence[Any], decay_biases: bool
) -> None:
    net.initialize(init, ctx=contexts, force_reinit=True)
    for name, value in start.items():
        net._collect_params_with_prefix()[name].set_data(np.array(value, dtype="float32"))
    for name, parameter in net.collect_params().items():
        parameter.wd_mult = 1.0 if decay_biases or not name.endswith("bias") else 0.0


def _epoch_seed(seed: int, epoch: int, rank: int) -> int:
    # A rank of 0 changes nothing.
    return int(numpy.random.SeedSequence([seed, epoch, rank]).generate_state(1)[0] >> 1)
