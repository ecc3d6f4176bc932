"""Top items: predictions for every item, a block of users at a time, and the best of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy
from numpy.typing import NDArray

from .._arrays import Floats, Integers
from .._mxnet import Context, from_any_thread, np
from ..compute import Compute
from ..compute.choice import is_sparse
from ..compute.sparse import code_sparse
from ..data.interactions import Interactions
from ..model import AutoRec

#: Scores held at a time, 32 MB of float32, and the best of them, which take more in a table.
BLOCK = 8_000_000
BEST = 250_000


@from_any_thread
def hidden_codes(
    net: AutoRec, inputs: Interactions, contexts: Sequence[Context], compute: Compute = "auto"
) -> NDArray[numpy.float32]:
    """Return the code of every row.

    Parameters
    ----------
    net : AutoRec
    inputs : Interactions
    contexts : sequence of Context
        Where the net's parameters are.
    compute : {"auto", "dense", "sparse"}
        See `is_sparse`.

    Returns
    -------
    ndarray of float32, shape (rows, hidden units of the last encoder layer)
    """
    if is_sparse(compute, net, inputs, contexts):
        return code_sparse(net, inputs, contexts[0])
    size = max(BLOCK // inputs.shape[1], 1)
    parts = []
    for start in range(0, inputs.shape[0], size):
        rows = numpy.arange(start, min(start + size, inputs.shape[0]))
        ratings, mask = (np.array(of(rows), ctx=contexts[0]) for of in (inputs.dense, inputs.mask))
        parts.append(net.encode(ratings, mask).asnumpy())
    return numpy.concatenate(parts)


def best_items(
    net: AutoRec,
    inputs: Interactions,
    users: Integers,
    k: int,
    contexts: Sequence[Context],
    *,
    exclude_seen: bool = True,
    compute: Compute = "auto",
) -> Iterator[tuple[NDArray[numpy.int64], NDArray[numpy.float32]]]:
    """Yield the k items with the highest predictions, for a block of users at a time.

    A block is as large as `BLOCK` and `BEST` let it be, so memory does not grow with the users.

    Parameters
    ----------
    net : AutoRec
    inputs : Interactions
        The ratings that the model may see, in the model's view.
    users : ndarray of int, shape (n,)
    k : int
    contexts : sequence of Context
    exclude_seen : bool
        Whether items that the user has rated in `inputs` are left out.
    compute : {"auto", "dense", "sparse"}

    Yields
    ------
    items : ndarray of int, shape (block, k)
        Best first, of equal ones the first in the id map; -1 where there are fewer.
    predictions : ndarray of float32, shape (block, k)
    """
    item_view = inputs.view == "item"
    by_user = inputs.matrix.T.tocsr() if item_view else inputs.matrix
    num_items = by_user.shape[1]
    rated_items = numpy.zeros(num_items, dtype=bool)
    rated_items[by_user.indices] = True
    code = hidden_codes(net, inputs, contexts, compute)
    weight = net.decoder.weight.data(contexts[0]).asnumpy()
    bias = net.decoder.bias.data(contexts[0]).asnumpy()
    rated_users = numpy.diff(by_user.indptr) > 0
    user_biases, item_biases = _biases(net, inputs)
    k = min(k, num_items)
    size = max(min(BLOCK // num_items, BEST // k), 1)
    for start in range(0, max(len(users), 1), size):  # of no users, one block of none
        block = users[start : start + size]
        if item_view:
            outputs = weight[block] @ code.T + bias[block, None]
        else:
            outputs = code[block] @ weight.T + bias
        baseline = user_biases[block, None] + item_biases
        scores = _ratings(net, outputs, baseline, contexts[0])
        if net.scaling is not None and net.scaling.ratings_out != "raw":
            # Of the others the net has learned nothing.
            scores = numpy.where(rated_users[block, None], scores, baseline)
        scores[:, ~rated_items] = -numpy.inf  # nothing is known of them
        if exclude_seen:
            seen = by_user[block]
            places = numpy.repeat(numpy.arange(len(block)), numpy.diff(seen.indptr))
            scores[places, seen.indices] = -numpy.inf
        yield _top(scores, k)


def _biases(
    net: AutoRec, inputs: Interactions
) -> tuple[NDArray[numpy.float32], NDArray[numpy.float32]]:
    """Return what users and items each add to what the net says."""
    if net.scaling is None:
        rows, columns = (numpy.zeros(count, numpy.float32) for count in inputs.shape)
    else:
        rows, columns = net.scaling.biases_out(inputs.matrix)
        rows += numpy.float32(net.scaling.coming_out[0])
    return (columns, rows) if inputs.view == "item" else (rows, columns)


@from_any_thread  # best_items is a generator, each step of which is its caller's
def _ratings(
    net: AutoRec, sums: Floats, baseline: Floats, context: Context
) -> NDArray[numpy.float32]:
    return net.rating(np.array(sums, ctx=context), np.array(baseline, ctx=context)).asnumpy()


def _top(
    scores: NDArray[numpy.float32], k: int
) -> tuple[NDArray[numpy.int64], NDArray[numpy.float32]]:
    """Return places and values of the k highest of each row."""
    # The k-th highest bounds what is sorted; equals of it must not be cut by chance.
    bound = numpy.partition(scores, scores.shape[1] - k, axis=1)[:, -k]
    items = numpy.full((len(scores), k), -1, dtype=numpy.int64)
    values = numpy.full((len(scores), k), -numpy.inf, dtype=numpy.float32)
    for row, (line, least) in enumerate(zip(scores, bound)):
        places = numpy.flatnonzero(line >= least)
        places = places[numpy.argsort(-line[places], kind="stable")][:k]
        places = places[line[places] > -numpy.inf]
        items[row, : len(places)], values[row, : len(places)] = places, line[places]
    return items, values


def nearest(vectors: Floats, row: int, rows: Integers, k: int) -> tuple[Integers, Floats]:
    """Return the rows that are most similar to one, by cosine, and their similarities.

    Parameters
    ----------
    vectors : ndarray of float, shape (n, size)
        Their mean over `rows` is subtracted: what all share distinguishes none.
    row : int
        Left out of the answer.
    rows : ndarray of int
        Those to choose from.
    k : int

    Returns
    -------
    nearest : ndarray of int, shape (at most k,)
    similarities : ndarray of float, shape (at most k,)
    """
    centre = vectors[rows].mean(axis=0)
    others = rows[rows != row]
    wanted, candidates = vectors[row] - centre, vectors[others] - centre
    lengths = numpy.linalg.norm(candidates, axis=1) * numpy.linalg.norm(wanted)
    cosines = candidates @ wanted / numpy.maximum(lengths, 1e-12)
    order = numpy.argsort(-cosines, kind="stable")[:k]
    return others[order], cosines[order]
