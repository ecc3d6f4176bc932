"""Training by columns: what differs where a worker owns some columns of the net and the ratings.

The step does not: `SparseSteps` completes two sums, see `distributed.columns`. The first weights
are those of one process, so the whole matrices are drawn, one after the other, and all but the own
lines are let go. Predictions need one sum, of V r.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence

import numpy
from numpy.typing import NDArray

from .._bounds import MOST_VALUES
from .._mxnet import Array, Context, gluon, np
from ..compute.sparse import predict_sparse
from ..data.interactions import Interactions
from ..distributed.columns import Columns
from ..distributed.workers import Workers
from ..errors import ConfigurationError
from ..model import AutoRec
from .settings import NOT_BY_COLUMNS, Settings

#: Rows at a time; as many products are sent.
_ROWS = 1024


def check_columns(
    settings: Settings, net: AutoRec, columns: Columns, contexts: Sequence[Context]
) -> None:
    """Refuse what workers that own columns cannot train.

    Raises
    ------
    ConfigurationError
        If it is asked for.
    """
    reason = None
    if type(net) is not AutoRec:
        reason = "knows only the layers of AutoRec"
    elif settings.compute == "dense":
        reason = "computes only the rated cells; leave out compute='dense'"
    elif len(contexts) > 1:
        reason = f"uses one device a worker, not {len(contexts)}"
    elif settings.optimizer.lower() in NOT_BY_COLUMNS:
        reason = f"cannot split {settings.optimizer}; choose another optimizer"
    elif net.drops_input:
        reason = "has no dropout on the input"
    elif net.scaling is not None:
        reason = "takes and gives ratings as they are (raw)"
    elif max(each * columns.shape[1] for each in _ends(net)) > MOST_VALUES:
        reason = f"draws first weights of at most {MOST_VALUES:,} numbers a matrix"
    if reason is not None:
        raise ConfigurationError(
            f"Training by columns {reason}, or train with --parallel rows (without columns)."
        )


def _ends(net: AutoRec) -> tuple[int, int]:
    return net.layers[0].bias.shape[0], net.layers[-1].bias.shape[0]


def draw_own(net: AutoRec, init: object, columns: Columns, context: Context) -> dict[str, Array]:
    """Draw the first weights of the whole net, as one process does, and return the own lines.

    Parameters
    ----------
    net : AutoRec
        With the columns at hand.
    init : mx.init.Initializer
    columns : Columns
    context : Context
    """
    inside = columns.shape[1]
    found = {}
    for number, layer in enumerate([*net.layers, net.decoder]):
        last = layer is net.decoder
        outside = columns.shape[1] if last else layer.bias.shape[0]
        for name, shape in (("weight", (outside, inside)), ("bias", (outside,))):
            given = getattr(layer, name)
            drawn = gluon.Parameter(name, shape=shape, init=given.init, grad_req="null")
            drawn.initialize(ctx=[context], default_init=init)
            value = drawn.data(context)
            own = np.array(columns.own, dtype="int32", ctx=context)
            if last:
                value = np.take(value, own, axis=0)
            elif number == 0 and name == "weight":
                value = np.take(value, own, axis=1)
            value.wait_to_read()
            found[f"{_layer(net, number)}.{name}"] = value
        inside = outside
    return found


def _layer(net: AutoRec, number: int) -> str:
    if number == len(net.layers):
        return "decoder"
    return "encoder" if len(net.layers) == 1 else f"encoder.{number}"


def predict_own(
    net: AutoRec,
    train: Interactions,
    cells: Interactions,
    columns: Columns,
    add: Callable[[Array], Array],
    context: Context,
    clip: tuple[float, float] | None,
    cold: float | None,
) -> NDArray[numpy.float32]:
    """Predict cells of the columns at hand, see `predict_cells`; all workers do it together."""
    rows = numpy.arange(train.shape[0])
    batches = (rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS))
    counts = columns.row_counts
    predicted = predict_sparse(net, train, cells, context, batches, add, counts)
    if clip is not None:
        predicted = predicted.clip(*clip)
    if cold is not None:
        every = cells.matrix.tocoo()
        known = (columns.row_counts > 0)[every.row] & train.rated_columns()[every.col]
        predicted[~known] = cold
    return predicted


def whole_fingerprint(
    facts: Mapping[str, object],
    parts: Mapping[str, Interactions | None],
    columns: Columns,
    workers: Workers,
) -> dict[str, object]:
    """Return the facts of a fingerprint as those of the whole, however many workers share it.

    Parameters
    ----------
    facts : mapping
        From `fingerprint`, of the columns at hand.
    parts : mapping of str to Interactions
        Ratings by the name that their checksum has.
    columns : Columns
    workers : Workers
    """
    found = dict(facts)
    found["net.decoder"] = re.sub(r"\d+", str(columns.shape[1]), str(found["net.decoder"]), count=1)
    found["parallel"] = "columns"
    for name, part in parts.items():
        if part is not None:
            sums = workers.gather(numpy.array([_sum_of_cells(part, columns)])).sum(dtype="uint64")
            found[name] = hashlib.sha256(f"{columns.shape} {part.view} {sums}".encode()).hexdigest()
    return found


def _sum_of_cells(part: Interactions, columns: Columns) -> numpy.uint64:
    """Return a number of some ratings that does not depend on who has which of them."""
    cells = part.matrix.tocoo()
    mixed = numpy.zeros(len(part), numpy.uint64)
    for each in (cells.row, columns.own[cells.col], cells.data.view(numpy.uint32)):
        mixed ^= each.astype(numpy.uint64)
        mixed *= numpy.uint64(0x9E3779B97F4A7C15)  # the golden ratio, as hashes multiply by it
        mixed ^= mixed >> numpy.uint64(29)
    return numpy.uint64(mixed.sum(dtype=numpy.uint64))
