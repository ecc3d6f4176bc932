"""Fitting by columns: each worker of a job trains what it owns, and rank 0 ends with all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .._mxnet import mx
from .._mxnet import np as mxnp
from ..compute.devices import contexts
from ..data import View
from ..data.interactions import Interactions
from ..data.ratings import Ratings
from ..distributed.columns import Columns, collected, in_blocks, owners
from ..distributed.workers import Workers
from ..errors import ConfigurationError
from ..evaluation.ensemble import Member
from ..model import AutoRec
from ..training.checkpoints import Checkpoint, Checkpoints
from ..training.history import Epoch, History
from ..training.loop import fit
from .presets import Parameters, check_by_columns


def owned(ratings: Ratings, view: View, workers: Workers) -> NDArray[np.int64]:
    """Return which columns a worker owns, as codes of users, or of items in the user view."""
    ids = ratings.user_ids if view == "item" else ratings.item_ids
    ranks = owners(ids, workers.count)
    if len(np.unique(ranks)) < workers.count:
        raise ConfigurationError(
            f"{len(ids):,} columns leave one of {workers.count} workers without any; take fewer, "
            "or --parallel rows."
        )
    return np.flatnonzero(ranks == workers.rank)


def own_ratings(ratings: Ratings, view: View, own: NDArray[np.int64]) -> Ratings:
    """Return the ratings of some columns, under the same id maps."""
    wanted = np.zeros(ratings.num_users if view == "item" else ratings.num_items, dtype=bool)
    wanted[own] = True
    return ratings.take(wanted[ratings.users if view == "item" else ratings.items])


def train_by_columns(
    parameters: Parameters,
    parts: Mapping[str, Ratings | None],
    build: Callable[[int, tuple[float, float], float | None], AutoRec],
    workers: Workers,
    *,
    on_epoch: Callable[[Epoch], None] | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool | Checkpoint = False,
) -> tuple[Ratings, tuple[float, float], Member, History]:
    """Train one net, of which each worker owns some columns.

    Parameters
    ----------
    parameters : Parameters
    parts : mapping of str to Ratings
        Those to train on, and the "validation" and "test" ratings or None: all of them, or only
        those of the own columns, under the id maps of all.
    build : callable
        Makes the net from its number of columns, the scale and the typical count.
    workers : Workers
    on_epoch, checkpoints, resume
        See `autorec.fit`.

    Returns
    -------
    ratings, scale, member, history
        Of the whole on rank 0; of the own columns on the other workers.
    """
    check_by_columns(parameters)
    view = parameters.view
    assert view != "both"
    train = parts["train"]
    assert train is not None
    own = owned(train, view, workers)
    mine = own_ratings(train, view, own)
    of = {
        name: None if part is None else _matrix(own_ratings(part, view, own), view, own)
        for name, part in parts.items()
    }
    inputs = of["train"]
    assert inputs is not None
    count = train.num_users if view == "item" else train.num_items
    columns = Columns.of(inputs, own, count, workers)
    scale = _scale(mine, workers)
    typical = len(columns) / len(columns.rated_rows()) if parameters.normalise else None
    sigma, where = parameters.init_sigma, contexts(parameters.devices)
    net = build(len(own), scale, typical)
    cold = parameters.cold_rating
    history = fit(
        net,
        inputs,
        parameters.settings(),
        validation=of["validation"],
        test=of["test"],
        init=mx.init.Normal(sigma) if sigma else mx.init.Xavier(),
        clip=scale if parameters.clip else None,
        cold=sum(scale) / 2 if cold is None else cold,
        contexts=where,
        seed=parameters.random_state,
        on_epoch=on_epoch,
        checkpoints=checkpoints,
        resume=resume,
        workers=workers,
        columns=columns,
    )
    if workers.count == 1:
        return mine, scale, Member(net, inputs, 1.0), history
    first = workers.rank == 0
    whole = _gathered(net, build(count, scale, typical) if first else None, columns, workers)
    ratings = replace(
        mine,
        users=collected(mine.users, workers),
        items=collected(mine.items, workers),
        values=collected(mine.values, workers),
        times=None if mine.times is None else collected(mine.times, workers),
    )
    if not first:
        return mine, scale, Member(net, inputs, 1.0), history
    assert whole is not None
    return ratings, scale, Member(whole, Interactions.from_ratings(ratings, view), 1.0), history


def _matrix(ratings: Ratings, view: View, own: NDArray[np.int64]) -> Interactions:
    """Return ratings of the own columns as a matrix that has only these."""
    columns, rows = ratings.users, ratings.items
    count = ratings.num_items
    if view == "user":
        columns, rows, count = rows, columns, ratings.num_users
    cells = rows, np.searchsorted(own, columns)
    shape = count, len(own)
    return Interactions(csr_matrix((ratings.values, cells), shape=shape, dtype=np.float32), view)


def _scale(ratings: Ratings, workers: Workers) -> tuple[float, float]:
    """Return the lowest and the highest rating of all workers."""
    values = ratings.values
    ends = np.min(values, initial=np.inf), np.max(values, initial=-np.inf)
    every = workers.gather(np.array(ends, dtype=np.float64))
    return float(every[:, 0].min()), float(every[:, 1].max())


def _gathered(
    net: AutoRec, whole: AutoRec | None, columns: Columns, workers: Workers
) -> AutoRec | None:
    """Give a net that has all columns the weights of the workers' nets, some lines at a time."""
    context = net.decoder.bias.list_ctx()[0]
    if whole is not None:
        whole.initialize(mx.init.Zero(), ctx=[context])
        whole(mxnp.zeros((1, columns.shape[1]), ctx=context))
    first = net.layers[0].weight.data(context).asnumpy().T
    into = None if whole is None else whole.layers[0].weight.data(context)
    for lines, block in in_blocks(first, columns, workers):
        if into is not None:
            into[:, lines] = mxnp.array(block.T, ctx=context)
    for name in ("weight", "bias"):
        own = getattr(net.decoder, name).data(context).asnumpy()
        into = None if whole is None else getattr(whole.decoder, name).data(context)
        for lines, block in in_blocks(own.reshape(len(own), -1), columns, workers):
            if into is not None:
                into[lines] = mxnp.array(block.reshape(-1, *own.shape[1:]), ctx=context)
    if whole is not None:
        given = net._collect_params_with_prefix()
        for name, parameter in whole._collect_params_with_prefix().items():
            value = given[name].data(context)
            if value.shape == parameter.shape and not name.startswith("decoder."):
                parameter.data(context)[:] = value
    return whole
