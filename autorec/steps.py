"""Steps: from a batch of rows to an update of the weights, over one or several devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable

import numpy
from numpy.typing import NDArray

from ._mxnet import autograd, gluon, mx, np
from .devices import split_rows
from .errors import ConfigurationError
from .interactions import Interactions
from .state import check_like, check_number
from .workers import Workers


def squared_error(predictions: Any, ratings: Any) -> Any:
    """Return each row's sum of squared errors.

    Parameters
    ----------
    predictions, ratings : ndarray of float32, shape (batch, columns)
        Masked: both 0 at unrated cells, which thus add nothing.

    Returns
    -------
    ndarray of float32, shape (batch,)
    """
    # np.square, since ** takes ten times as long in MXNet.
    return np.square(predictions - ratings).sum(axis=1)


def update(
    net: Any,
    trainer: Any,
    loss: Callable[[Any, Any], Any],
    inputs: Sequence[Sequence[Any]],
    labels: Sequence[Any],
    rows: int,
    penalty: Callable[[], Any] | None = None,
    batch: int | None = None,
) -> tuple[list[Any], list[Any]]:
    """Take one optimizer step on a batch that is spread over devices, and perhaps workers.

    The gradient is the sum over the rows of all devices, divided by `batch`: it does not depend on
    how the rows fall on the devices.

    Parameters
    ----------
    net : Block
    trainer : gluon.Trainer
        Over the net's parameters.
    loss : callable
        ``loss(output, label)`` is an array of shape (rows on the device,).
    inputs : sequence
        For each device the net's arguments, as `split_rows` shares them out.
    labels : sequence of ndarray
        For each device what its outputs are compared with.
    rows : int
        The batch's rows over all devices; 0 where other workers have them all, and the inputs
        count for nothing.
    penalty : callable, optional
        Returns what the objective has besides the losses' mean, from the first device's parameters.
    batch : int, optional
        The batch's rows over all workers; `rows` by default.

    Returns
    -------
    outputs, losses : list of ndarray
        One for each device that has rows of the batch.
    """
    batch = batch or rows
    with autograd.record():
        outputs = [net(*arguments) for arguments in inputs]
        losses = [loss(output, label) for output, label in zip(outputs, labels)]
        # With fewer rows than devices the rest hold copies: they send a gradient of zero, since
        # the trainer expects one from each device.
        weighted = losses[:rows] + [spare * 0 for spare in losses[rows:]]
        if penalty is not None:
            weighted.append(penalty() * batch)
    autograd.backward(weighted)
    trainer.step(batch)
    return outputs[:rows], losses[:rows]


def make_trainer(
    parameters: Any,
    optimizer: str,
    learning_rate: float,
    weight_decay: float,
    workers: Workers | None = None,
) -> Any:
    """Return a `gluon.Trainer`, which adds up the gradients of all workers.

    Raises
    ------
    ConfigurationError
        If Gluon has no optimizer of that name.
    """
    # "test" is MXNet's own, and GroupAdaGrad works on row-sparse gradients alone.
    known = sorted(set(mx.optimizer.Optimizer.opt_registry) - {"test", "groupadagrad"})
    if optimizer.lower() not in known:
        raise ConfigurationError(
            f"There is no optimizer {optimizer!r}; choose one of {', '.join(known)}."
        )
    options = {"learning_rate": learning_rate, "wd": weight_decay}
    return gluon.Trainer(parameters, optimizer, options, **(workers or Workers()).trainer_options())


def connect(trainer: Any) -> None:
    """Let a trainer's store take the parameters' values before any step; rank 0's become all's."""
    # As Trainer.load_states does.
    if not trainer._kv_initialized:
        trainer._init_kvstore()
    if trainer._params_to_init:
        trainer._init_params()


def optimizer_state(trainer: Any) -> dict[str, Any]:
    """Return what a trainer's optimizer carries from one step to the next.

    Gluon's own way, `Trainer.save_states`, is a pickle, which may run anything when it is read.

    Parameters
    ----------
    trainer : gluon.Trainer

    Returns
    -------
    dict
        Of arrays, numbers, mappings, lists and tuples.
    """
    # _index_update_count is one of _all_index_update_counts; param_dict are the parameters.
    given = ("param_dict", "_index_update_count")
    optimizer = {name: each for name, each in vars(trainer.optimizer).items() if name not in given}
    states = [dict(updater.states) for updater in _updaters(trainer)]
    return {"optimizer": optimizer, "updaters": states}


def restore_optimizer(trainer: Any, state: Mapping[str, Any]) -> None:
    """Give a new trainer the state of another.

    Parameters
    ----------
    trainer : gluon.Trainer
        Of parameters that have their values, with the same optimizer over as many devices.
    state : mapping
        From `optimizer_state`, its arrays NumPy's.

    Raises
    ------
    ConfigurationError
        If it is of one optimizer for all devices, and the trainer has one on each, or the reverse.
    ValueError, LookupError, TypeError
        If it is not one of such an optimizer and such parameters.
    """
    connect(trainer)
    updaters = _updaters(trainer)
    if len(updaters) != len(state["updaters"]):
        raise ConfigurationError(
            "The optimizer's state is not kept where it was; set the environment's "
            "MXNET_UPDATE_ON_KVSTORE as when the run began."
        )
    _check_optimizer(trainer, state)
    vars(trainer.optimizer).update(_as_mxnet(state["optimizer"]))
    trainer.optimizer._set_current_context(0)
    for updater, states in zip(updaters, state["updaters"]):
        updater.states = _as_mxnet(states)
        # Each is taken to its device by the next step.
        updater.states_synced = dict.fromkeys(states, False)


#: What optimizers count and remember in numbers; all else that they have stays as it was made.
_MOVING = ("lr", "rescale_grad", "num_update", "m_schedule", "last_lr", "cur_lr", "skip", "lbmult")
#: What they remember of each parameter, outside their states.
_BY_PARAMETER = ("cumgrads", "weight_previous")


def _check_optimizer(trainer: Any, state: Mapping[str, Any]) -> None:
    """Refuse a state that the optimizer could not have come to: MXNet would take it, and fail."""
    weights = [parameter.list_data()[0].as_nd_ndarray() for parameter in trainer._params]
    made, found = optimizer_state(trainer)["optimizer"], state["optimizer"]
    check_like(dict.fromkeys(made), dict.fromkeys(found), "optimizer")
    for name, value in found.items():
        if name == "_all_index_update_counts":
            for counts in value.values():
                for index, count in counts.items():
                    check_like(0, count, f"{name}/{weights[index] is None}")
        elif name in _BY_PARAMETER:
            for index, each in value.items():
                parts = each.values() if isinstance(each, dict) else [each]
                for part in parts:
                    if isinstance(part, numpy.ndarray):
                        check_like(weights[index], part, f"{name}/{index}")
                    elif part is not None:
                        check_number(part, f"{name}/{index}")
        elif name in _MOVING:
            if value is not None:
                check_like(0, value, name)
        elif value != made[name]:
            raise ValueError(f"optimizer/{name} is not what this run makes")
    for states in state["updaters"]:
        for index, each in states.items():
            fresh = trainer.optimizer.create_state_multi_precision(index, weights[index])
            check_like(fresh, each, f"updaters/{index}")


def _updaters(trainer: Any) -> list[Any]:
    """Return what holds the optimizer's arrays: one for all devices, or one for each."""
    return [trainer._kvstore._updater] if trainer._update_on_kvstore else trainer._updaters


def _as_mxnet(value: Any) -> Any:
    """Return a value with MXNet's arrays, of the kind that optimizers make, for NumPy's."""
    if isinstance(value, numpy.ndarray):
        return np.array(value, value.dtype, ctx=mx.cpu()).as_nd_ndarray()
    if isinstance(value, dict):
        return {key: _as_mxnet(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_as_mxnet(each) for each in value)
    return value


class DenseSteps:
    """Steps that compute whole rows, rated or not.

    Parameters
    ----------
    net : AutoRec
    train : Interactions
    contexts : sequence of Context
    scale : float
        What a squared error adds to the loss.
    optimizer, learning_rate, weight_decay
        As of `make_trainer`.
    decays : ndarray of float, shape (columns,), optional
        The weight decay of what the two large matrices hold for each column; `weight_decay` by
        default.
    workers : Workers, optional
        Each takes a share of every batch; the step is that of one worker on the whole batch.
    """

    def __init__(
        self,
        net: Any,
        train: Interactions,
        contexts: Sequence[Any],
        scale: float,
        optimizer: str,
        learning_rate: float,
        weight_decay: float,
        *,
        decays: NDArray[Any] | None = None,
        workers: Workers | None = None,
    ) -> None:
        self.workers = workers or Workers()
        self.net, self.train, self.contexts, self.scale = net, train, contexts, scale
        self._signs_are_masks = train.positive
        self._decays = None if decays is None else np.array(decays, ctx=contexts[0])
        if decays is not None:
            for matrix in (encoder_layers(net)[0].weight, net.decoder.weight):
                matrix.wd_mult = 0.0  # _penalty takes its place
        # A list, in the net's order: Gluon sorts a dict by names, which count a process's layers.
        parameters = list(net.collect_params().values())
        rates = optimizer, learning_rate, weight_decay
        self.trainer = make_trainer(parameters, *rates, self.workers)

    def step(self, rows: NDArray[Any]) -> list[Any]:
        """Update the weights from a batch of rows, of which each worker takes its share.

        Returns
        -------
        list of ndarray
            Squared errors of this worker's share, an array for each device that has part of it.
        """
        own = self.workers.share(rows)
        shown = own if len(own) else rows[:1]
        ratings = split_rows(self.train.dense(shown), self.contexts)
        arguments = [ratings]
        if not self._signs_are_masks:
            arguments.append(split_rows(self.train.mask(shown), self.contexts))
        inputs = list(zip(*arguments))
        # Gradients are added up over the workers, and this one is due once.
        penalty = self._penalty if self._decays is not None and self.workers.rank == 0 else None
        batch = ratings, len(own), penalty, len(rows)
        _, losses = update(self.net, self.trainer, self._loss, inputs, *batch)
        return [loss / self.scale for loss in losses]

    def settle(self) -> None:
        """Leave the net with the weights of the last step; it has them already."""

    def state(self) -> dict[str, Any]:
        """Return what the steps carry from one to the next, besides the net's weights."""
        return {"trainer": optimizer_state(self.trainer)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, and from the weights that the net has."""
        restore_optimizer(self.trainer, state["trainer"])

    def _loss(self, predictions: Any, ratings: Any) -> Any:
        return squared_error(predictions, ratings) * self.scale

    def _penalty(self) -> Any:
        encoder = encoder_layers(self.net)[0].weight.data(self.contexts[0])
        decoder = self.net.decoder.weight.data(self.contexts[0])
        squares = np.square(encoder).sum(axis=0) + np.square(decoder).sum(axis=1)
        return (self._decays * squares).sum() / 2


def encoder_layers(net: Any) -> list[Any]:
    """Return the layers of an AutoRec's encoder."""
    return [net.encoder] if hasattr(net.encoder, "weight") else list(net.encoder)
