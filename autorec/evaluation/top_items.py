"""Top items: predictions for every item, a block of users at a time, and the best of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .._arrays import Floats, Integers
from .._mxnet import Context, from_any_thread, np
from ..compute import Compute
from ..compute.choice import is_sparse
from ..compute.sparse import code_sparse
from ..data import View
from ..data.interactions import Interactions
from ..model import AutoRec
from .ensemble import Member, at, biases
from .prediction import trained_columns

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
    members: Sequence[Member],
    by_user: csr_matrix,
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
    members : sequence of Member
    by_user : csr_matrix of float32, shape (num_users, num_items)
        The ratings of all users. Items without one are not recommended.
    users : ndarray of int, shape (n,)
    k : int
    contexts : sequence of Context
    exclude_seen : bool
        Whether items that the user has rated are left out.
    compute : {"auto", "dense", "sparse"}

    Yields
    ------
    items : ndarray of int, shape (block, k)
        Best first, of equal ones the first in the id map; -1 where there are fewer.
    predictions : ndarray of float32, shape (block, k)
    """
    num_items = by_user.shape[1]
    rated_items = numpy.zeros(num_items, dtype=bool)
    rated_items[by_user.indices] = True
    mean, user_biases, item_biases = biases(members)
    every_item = at(item_biases, numpy.arange(num_items))
    parts = [_Scores(member, contexts, compute) for member in members]
    k = min(k, num_items)
    size = max(min(BLOCK // num_items, BEST // k), 1)
    for start in range(0, max(len(users), 1), size):  # of no users, one block of none
        block = users[start : start + size]
        total = numpy.zeros((len(block), num_items), dtype=numpy.float32)
        weight = numpy.zeros_like(total)
        for each in parts:
            each.add(block, total, weight)
        # Where no net has learned anything, what they add to answers.
        means = numpy.float32(mean) + at(user_biases, block)[:, None] + every_item
        scores = numpy.divide(total, weight, out=means, where=weight > 0)
        scores[:, ~rated_items] = -numpy.inf  # nothing is known of them
        if exclude_seen:
            seen = by_user[block]
            places = numpy.repeat(numpy.arange(len(block)), numpy.diff(seen.indptr))
            scores[places, seen.indices] = -numpy.inf
        yield _top(scores, k)


class _Scores:
    """What a net predicts of every item, for some users at a time."""

    def __init__(self, member: Member, contexts: Sequence[Context], compute: Compute) -> None:
        net, inputs = member.net, member.inputs
        self.member, self.context = member, contexts[0]
        self.item_view = inputs.view == "item"
        self.code = hidden_codes(net, inputs, contexts, compute)
        self.weight = net.decoder.weight.data(contexts[0]).asnumpy()
        self.bias = net.decoder.bias.data(contexts[0]).asnumpy()
        self.mean, self.user_biases, self.item_biases = biases([member])
        rated = numpy.diff(inputs.matrix.indptr) > 0, trained_columns(net, inputs)
        if not member.adds_to_means:  # then whoever has no rating gets what the net makes of it
            rated = numpy.ones_like(rated[0]), numpy.ones_like(rated[1])
        self.known_users, self.known_items = rated[::-1] if self.item_view else rated

    def add(self, users: Integers, total: Floats, weight: Floats) -> None:
        """Add the predictions for some users, and their weight, where the net knows the pair."""
        rows = numpy.flatnonzero(users < len(self.known_users))
        rows = rows[self.known_users[users[rows]]]
        block, items = users[rows], slice(len(self.known_items))
        if self.item_view:
            outputs = self.weight[block] @ self.code.T + self.bias[block, None]
        else:
            outputs = self.code[block] @ self.weight.T + self.bias
        means = self.mean + self.user_biases[block, None] + self.item_biases
        share = numpy.float32(self.member.weight) * self.known_items
        total[rows, items] += share * _ratings(self.member.net, outputs, means, self.context)
        weight[rows, items] += share


@from_any_thread  # best_items is a generator, each step of which is its caller's
def _ratings(net: AutoRec, sums: Floats, means: Floats, context: Context) -> NDArray[numpy.float32]:
    added = None if net.scaling is None else np.array(means, ctx=context)
    return net.rating(np.array(sums, ctx=context), added).asnumpy()


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


class Vectors(NamedTuple):
    """Vectors of items or users.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, size)
    rated : ndarray of int
        Those of them that have ratings.
    """

    vectors: NDArray[numpy.float32]
    rated: Integers


def vectors(
    members: Sequence[Member], kind: View, contexts: Sequence[Context], compute: Compute
) -> Vectors:
    """Return the vectors of all items or all users, those of several nets one after the other.

    They are the codes of rows where a net's rows are of this kind, else lines of the decoder's
    weights.
    """
    own = [each for each in members if each.inputs.view == kind]
    if own:
        found = [hidden_codes(each.net, each.inputs, contexts, compute) for each in own]
        return Vectors(numpy.concatenate(found, axis=1), own[0].inputs.rated_rows())
    found = [each.net.decoder.weight.data(contexts[0]).asnumpy() for each in members]
    rated = numpy.flatnonzero(members[0].inputs.rated_columns())
    return Vectors(numpy.concatenate(found, axis=1), rated)


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
