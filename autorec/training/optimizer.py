"""Optimizer: Gluon's trainer over one or several workers, and its state as plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from .._mxnet import Parameter, Parameters, Trainer, Updater, gluon, mx, np
from .._storage.state import State, check_like, check_number
from ..distributed.workers import Workers
from ..errors import ConfigurationError


def make_trainer(
    parameters: Parameters | Sequence[Parameter],
    optimizer: str,
    learning_rate: float,
    weight_decay: float,
    workers: Workers | None = None,
) -> Trainer:
    """Return a `gluon.Trainer`, which adds up the gradients of all workers.

    Raises
    ------
    ConfigurationError
        If Gluon has no optimizer of that name.
    """
    # "test" is MXNet's own, and GroupAdaGrad works only on row-sparse gradients.
    known = sorted(set(mx.optimizer.Optimizer.opt_registry) - {"test", "groupadagrad"})
    if optimizer.lower() not in known:
        raise ConfigurationError(
            f"There is no optimizer {optimizer!r}; choose one of {', '.join(known)}."
        )
    options = {"learning_rate": learning_rate, "wd": weight_decay}
    more = (workers or Workers()).trainer_options()
    trainer: Trainer = gluon.Trainer(parameters, optimizer, options, **more)
    return trainer


def init_kvstore(trainer: Trainer) -> None:
    """Let a trainer's store take the parameters' values before any step; rank 0's become all's."""
    # As Trainer.load_states does.
    if not trainer._kv_initialized:
        trainer._init_kvstore()
    if trainer._params_to_init:
        trainer._init_params()


def optimizer_state(trainer: Trainer) -> State:
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


def restore_optimizer(trainer: Trainer, state: State) -> None:
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
    init_kvstore(trainer)
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


def _check_optimizer(trainer: Trainer, state: State) -> None:
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


def _updaters(trainer: Trainer) -> Sequence[Updater]:
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
