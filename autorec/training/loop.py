"""Training: the loop over epochs and batches, in the order in which it happens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Callable

import numpy

from .._arrays import Integers
from .._mxnet import Array, Block, Context, Parameter, mx, np, numpy_semantics
from .._storage.state import State, check_like
from ..compute.devices import try_all_gpus
from ..data.interactions import Interactions
from ..distributed.columns import Columns
from ..distributed.workers import Workers
from ..errors import ConfigurationError, TrainingError
from ..evaluation.prediction import predict_cells
from ..model import AutoRec
from .checkpoints import Checkpoint, Checkpoints, CheckpointWriter
from .column_checkpoints import ColumnsWriter, restored_columns
from .columns import check_columns, predict_own, whole_fingerprint
from .fingerprint import fingerprint
from .history import Epoch, EpochSums, History
from .interrupts import interrupts_held
from .optimizer import init_kvstore
from .preparation import begin, check, first_steps, settled
from .settings import Settings
from .steps import Steps

#: The product of the weights' norms from which on float32 may not hold what is predicted.
_MOST = 1e30


@numpy_semantics()
def fit(
    net: AutoRec,
    train: Interactions,
    settings: Settings | None = None,
    *,
    validation: Interactions | None = None,
    test: Interactions | None = None,
    init: object = None,
    start: Mapping[str, Array] | None = None,
    clip: tuple[float, float] | None = None,
    cold: float | None = None,
    contexts: Sequence[Context] | None = None,
    seed: int = 0,
    on_epoch: Callable[[Epoch], None] | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool | Checkpoint = False,
    workers: Workers | None = None,
    columns: Columns | None = None,
    **changes: Any,
) -> History:
    """Train AutoRec; the defaults are the section's settings.

    Parameters
    ----------
    net : AutoRec
        Its parameters are initialised here, whatever they were.
    train : Interactions
        The only ratings that the weights depend on.
    settings : Settings, optional
        The hyperparameters; the section's by default.
    validation : Interactions, optional
        Part of the ratings at hand, held out: the net ends with the weights of the epoch that
        predicts these best.
    test : Interactions, optional
        Reported after each epoch and used for nothing else.
    init : mx.init.Initializer, optional
        Of the weights; Normal(0.01), as in the section, by default. Biases start at 0.
    start : mapping of str to ndarray, optional
        Values to start from instead, by parameter name ("encoder.weight", ...); see `pretrain`.
    clip, cold : optional
        How the validation and test ratings are predicted, see `predict_cells`.
    contexts : sequence of Context, optional
        Every GPU, else the CPU, by default.
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
    columns : Columns, optional
        Which columns of the whole matrix the net and all ratings given here have, where each of the
        workers owns some: a step then takes the own columns of all the batch's rows, and is, but
        for rounding, that of one worker with all columns. Each ends with its part of the net.
    **changes
        Hyperparameters by name, in place of those of `settings`.

    Returns
    -------
    History
        Of all epochs, also those before the run was resumed.

    Raises
    ------
    ConfigurationError
        If there is nothing to train on, a number is out of its bounds, Gluon has no such optimizer,
        there is patience without validation, a run is resumed with other settings or ratings, or
        workers have different ones.
    DataCorruptError
        If none of the checkpoints can be used.
    TrainingError
        If the training error or, in the end, the weights are no longer finite.

    Notes
    -----
    The paper (equation 2) minimises ``Σ (r - r̂)² + λ/2 (|W|² + |V|²)``, summed over the ratings of
    all M rows. `fit` averages over rows: the same objective is the loss "sum" with
    ``weight_decay = λ / M``; for rows of N cells, the loss "mean" with
    ``weight_decay = λ / (2 M N)``; for n ratings in all, the loss "rating" with
    ``weight_decay = λ / n``; and the loss "total" with ``weight_decay = λ``. (The section writes λ
    for λ/2.) Where a `Scaling` has the net count in spreads s of the ratings, λ is in that unit
    too: in the ratings' own it is s² times as much.
    """
    settings = replace(settings or Settings(), **changes)
    workers, contexts = workers or Workers(), list(contexts or try_all_gpus())
    whole = train if columns is None else columns
    check(settings, whole, clip, cold, checkpoints, resume, workers)
    if columns is not None:
        check_columns(settings, net, columns, contexts)
        settings = replace(settings, compute="sparse")
    settings = settled(settings, net, train, whole, contexts, workers)
    init = init or mx.init.Normal(0.01)
    more: dict[str, object] = {"clip": clip, "cold": cold, "seed": seed}

    def depends_on() -> dict[str, object]:
        facts = fingerprint(net, train, validation, test, settings, init, contexts, more)
        if columns is None:
            return facts
        parts = {"training": train, "validation": validation, "test": test}
        named = {f"{name} ratings": part for name, part in parts.items()}
        return whole_fingerprint(facts, named, columns, workers)

    resumed_from, writer = begin(checkpoints, resume, settings, workers, depends_on, columns)

    def score(ratings: Interactions) -> float:
        """Return the RMSE of a part of the ratings, of which each worker predicts a share."""
        if columns is not None:
            own = ratings
            predicted = predict_own(net, train, own, columns, workers.add, contexts[0], clip, cold)
        else:
            shared = workers.count > 1
            own = ratings.only(workers.share(ratings.rated_rows())) if shared else ratings
            predicted = predict_cells(
                net, train, own, contexts, clip=clip, cold=cold, compute=settings.compute
            )
        squares = numpy.square(predicted - own.matrix.data, dtype=numpy.float64).sum()
        total, count = workers.sums([float(squares), len(own)])
        return math.sqrt(total / count)

    mx.random.seed(seed)
    steps = first_steps(net, train, init, start or {}, settings, contexts, workers, columns)
    if resumed_from is not None or workers.count > 1:
        for context in contexts:  # gives the parameters their shapes, and draws the weights
            net(np.zeros((1, train.shape[1]), ctx=context))
    run = Run(
        net,
        steps,
        settings,
        seed=seed,
        validation_rmse=None if validation is None else lambda: score(validation),
        test_rmse=None if test is None else lambda: score(test),
        on_epoch=on_epoch,
        writer=writer,
        workers=workers,
        draws=workers.rank if workers.count > 1 and columns is None else None,
    )
    if isinstance(writer, ColumnsWriter):
        writer.is_last = lambda: next(run.remaining(), None) is None
    if resumed_from is not None:
        names = _names(net, steps.trainer._params)
        run.resume(
            resumed_from,
            None if columns is None else restored_columns(resumed_from, columns, names, workers),
        )
    if workers.count > 1 and columns is None:
        init_kvstore(steps.trainer)
    return run_epochs(run)


def run_epochs(run: Run) -> History:
    """Train until there are enough epochs, or patience ends.

    Ctrl-C takes effect after a step, or after an epoch once its checkpoint is written.
    """
    with interrupts_held() as check_interrupt, run.writer or nullcontext():
        try:
            for epoch in run.remaining():
                run.begin_epoch(epoch)
                for rows in run.batches():
                    run.step(rows)
                    check_interrupt()
                run.end_epoch(epoch)
                check_interrupt()
            return run.finish()
        finally:
            run.steps.write_back()  # what was learned until Ctrl-C, for example


class Run:
    """A training run: what it carries from step to step, and from epoch to epoch.

    Parameters
    ----------
    net : Block
    steps : Steps
    settings : Settings
    seed : int
        Of order and dropout.
    validation_rmse, test_rmse : callable, optional
        Called after each epoch. The weights of the epoch with the lowest validation RMSE are those
        that the net ends with; the test RMSE is only reported.
    on_epoch : callable, optional
        Called with each `Epoch`, last of all.
    writer : CheckpointWriter, optional
    workers : Workers, optional
    draws : int, optional
        Workers with different numbers draw different dropout; by default it is that of one process.

    Raises
    ------
    ConfigurationError
        If there is patience without validation.

    Attributes
    ----------
    history : History
    last, mean, best : list of ndarray
        Weights on the first device. `last` are those of the last epoch and `mean` the average over
        epochs, both empty without averaging, for then the net has the last; `best` those that the
        net would end with, empty where these are the last.
    """

    def __init__(
        self,
        net: Block,
        steps: Steps,
        settings: Settings,
        *,
        seed: int,
        validation_rmse: Callable[[], float] | None = None,
        test_rmse: Callable[[], float] | None = None,
        on_epoch: Callable[[Epoch], None] | None = None,
        writer: CheckpointWriter | None = None,
        workers: Workers | None = None,
        draws: int | None = None,
    ) -> None:
        if settings.patience is not None and validation_rmse is None:
            raise ConfigurationError("patience needs validation ratings; hold some out.")
        self.net, self.steps, self.settings, self.seed = net, steps, settings, seed
        self.workers, self.writer = workers or Workers(), writer
        self._draws = draws
        self._validation_rmse, self._test_rmse = validation_rmse, test_rmse
        self._on_epoch = on_epoch
        self.history = History(compute=settings.compute)
        self._shuffle = numpy.random.default_rng(seed)
        self._sums = EpochSums()
        self.last: list[Array] = []
        self.mean: list[Array] = []
        self.best: list[Array] = []

    def resume(
        self, checkpoint: Checkpoint, restored: AbstractContextManager[State] | None = None
    ) -> None:
        """Go on from a checkpoint; the net's parameters have their shapes.

        Parameters
        ----------
        checkpoint : Checkpoint
        restored : context manager, optional
            Gives its state; as the checkpoint itself does by default.

        Raises
        ------
        DataCorruptError
            If it is not one of such a run.
        """
        names, parameters = _names(self.net), list(self.net.collect_params().values())
        context = parameters[0].list_ctx()[0]
        wanted = dict(zip(names, (each.data() for each in parameters)))
        with restored or checkpoint.restored() as state:
            for part in ("weights", "mean", "best"):
                if part == "weights" or state[part]:
                    check_like(wanted, state[part], part)
            last, self.mean, self.best = (
                [np.array(part[name], ctx=context) for name in names if name in part]
                for part in (state["weights"], state["mean"], state["best"])
            )
            load_weights(self.net, last)
            self.steps.restore(state["steps"])
            self._shuffle.bit_generator.state = state["shuffle"]
        self.history = replace(checkpoint.history, compute=self.settings.compute)

    def remaining(self) -> Iterator[int]:
        """Yield the numbers, from 1, of the epochs that are left, until patience ends."""
        patience = self.settings.patience
        for number in range(len(self.history) + 1, self.settings.num_epochs + 1):
            done = self.history.epochs
            if patience is not None and done and number > self.history.best.epoch + patience:
                return
            yield number

    def begin_epoch(self, number: int) -> None:
        """Set the learning rate, and the generators of dropout."""
        load_weights(self.net, self.last)  # where the mean was looked at
        settings = self.settings
        rate = settings.learning_rate * settings.learning_rate_decay ** (number - 1)
        self.steps.trainer.set_learning_rate(rate)
        if number > 1 or self._draws is not None:
            # The state of MXNet's generators cannot be read, so an epoch begins with one that it
            # can begin with again. The first goes on from the one that drew the weights, unless
            # workers, who drew the same weights, are to draw dropout of their own.
            mx.random.seed(epoch_seed(self.seed, number, self._draws or 0))
        self._sums = EpochSums()

    def batches(self) -> Iterator[Integers]:
        """Yield the rows to train on in batches."""
        return self.steps.batches(self.settings.batch_size, self._shuffle)

    def step(self, rows: Integers) -> None:
        """Update the weights from a batch."""
        errors = self.workers.total(self.steps.step(rows))
        self._sums.add(errors, self.steps.count(rows), len(rows))
        self._sums.check(len(self.history) + 1)

    def end_epoch(self, number: int) -> None:
        """Average the weights, score them, keep the best, write a checkpoint, report."""
        if self._looked_at:
            self.steps.write_back()
        epoch = self._sums.close(number)
        if self.settings.averaging:
            self._average(number)
        epoch = replace(
            epoch,
            validation_rmse=self._validation_rmse and self._validation_rmse(),
            test_rmse=self._test_rmse and self._test_rmse(),
        )
        _check_finite(epoch)
        self.history.epochs.append(epoch)
        if self._validation_rmse is None:
            self.best = self.mean
        elif self.history.best is epoch:
            self.best = self.mean or weights(self.net)
        if self.writer is not None:
            self.writer.add(self.history, self.state())
        if self._on_epoch is not None:
            self._on_epoch(epoch)

    def finish(self) -> History:
        """Leave the net with the weights that it is to end with; return the history."""
        self.steps.write_back()
        load_weights(self.net, self.best)
        if self.history.epochs:  # the training error was taken before the last step
            _check_weights(self.net, self.history.best.epoch if self.best else len(self.history))
        return self.history

    def state(self) -> State:
        """Return what a run goes on with: weights by name, optimizer, order."""
        names = _names(self.net)
        last = self.last or [each.data() for each in self.net.collect_params().values()]
        parts = {"weights": last, "mean": self.mean, "best": self.best}
        return {
            **{part: dict(zip(names, values)) for part, values in parts.items()},
            "steps": self.steps.state(),
            "shuffle": self._shuffle.bit_generator.state,
        }

    @property
    def _looked_at(self) -> bool:
        """Whether anything may read the net's weights between epochs."""
        looking = self._validation_rmse, self._test_rmse, self._on_epoch, self.writer
        return self.settings.averaging > 0 or any(each is not None for each in looking)

    def _average(self, number: int) -> None:
        """Give the net the mean of the weights after each epoch, the later ones counting more."""
        fading = self.settings.averaging
        self.last = weights(self.net)
        share = (1 - fading) / (1 - fading**number)
        means = zip(self.mean or self.last, self.last)
        self.mean = [old + share * (new - old) for old, new in means]
        load_weights(self.net, self.mean)


def weights(net: Block) -> list[Array]:
    """Return copies of a net's parameters, on the first device."""
    return [parameter.list_data()[0].copy() for parameter in net.collect_params().values()]


def load_weights(net: Block, values: Sequence[Array]) -> None:
    """Set a net's parameters, on all devices; without values, leave them."""
    # Not by set_data, which makes the trainer of several devices forget the optimizer's state.
    for parameter, value in zip(net.collect_params().values(), values):
        for array in parameter.list_data():
            array[:] = value.as_in_ctx(array.ctx)


def epoch_seed(seed: int, epoch: int, rank: int) -> int:
    """Return the seed of an epoch's dropout on a worker; a rank of 0 is that of one process."""
    return int(numpy.random.SeedSequence([seed, epoch, rank]).generate_state(1)[0] >> 1)


def _check_finite(epoch: Epoch) -> None:
    for score in (epoch.validation_rmse, epoch.test_rmse):
        if score is not None and not math.isfinite(score):
            raise TrainingError(
                f"The predictions are no longer finite in epoch {epoch.epoch}; lower the learning "
                "rate."
            )


def _check_weights(net: Block, epoch: int) -> None:
    """Refuse weights that are not finite, or so large that predictions need not be."""
    bound = 1.0
    for parameter in net.collect_params().values():
        norm = float(mx.nd.norm(parameter.list_data()[0].as_nd_ndarray()).asscalar())
        bound *= norm if norm > 1 or math.isnan(norm) else 1.0
    if not bound < _MOST:
        raise TrainingError(
            f"The weights are no longer finite after epoch {epoch}; lower the learning rate."
        )


def _names(net: Block, parameters: Sequence[Parameter] | None = None) -> list[str]:
    """Return names of a net's parameters, of all or of some, that are alike in every process."""
    found = {id(each): name for name, each in net._collect_params_with_prefix().items()}
    if parameters is not None:
        return [found[id(each)] for each in parameters]
    return [found.get(id(each), name) for name, each in net.collect_params().items()]
