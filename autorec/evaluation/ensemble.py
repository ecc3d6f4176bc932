"""Ensemble: several nets over one table of ratings, whose predictions are averaged.

One net is the case of one. Nets of the item view and of the user view may stand side by side: each
knows those pairs of which both its row and its column have ratings, and of others has no say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .._arrays import Integers
from .._mxnet import Context
from ..compute import Compute
from ..data import View
from ..data.interactions import Interactions
from ..model import AutoRec
from .prediction import knows, predict_cells


@dataclass(frozen=True)
class Member:
    """A net, the rows that it gets, and how much its predictions count.

    Parameters
    ----------
    net : AutoRec
    inputs : Interactions
        In the net's view. It may have rows that came after the training, not columns.
    weight : float
        Those of all members are 1 together.
    """

    net: AutoRec
    inputs: Interactions
    weight: float = 1.0

    def cells(self, users: Integers, items: Integers) -> tuple[Integers, Integers]:
        """Return rows and columns of pairs; -1 for those which the net does not have."""
        places = (items, users) if self.inputs.view == "item" else (users, items)
        rows, columns = (
            numpy.where(each < count, each, -1) for each, count in zip(places, self.inputs.shape)
        )
        return rows, columns

    @property
    def adds_to_means(self) -> bool:
        """Whether the net's outputs are added to means, which answer where it has no say."""
        return self.net.scaling is not None and self.net.scaling.ratings_out != "raw"


def known(members: Sequence[Member], users: Integers, items: Integers) -> NDArray[numpy.bool_]:
    """Tell of pairs of codes whether a net knows them: both have ratings where it learned."""
    found = numpy.zeros(len(users), dtype=bool)
    for member in members:
        rows, columns = member.cells(users, items)
        inside = (rows >= 0) & (columns >= 0)
        found[inside] |= knows(member.net, member.inputs, rows[inside], columns[inside])
    return found


def predict_pairs(
    members: Sequence[Member],
    users: Integers,
    items: Integers,
    contexts: Sequence[Context],
    *,
    clip: tuple[float, float] | None = None,
    cold: float | None = None,
    compute: Compute = "auto",
) -> NDArray[numpy.float32]:
    """Predict the ratings of pairs of codes: the weighted mean of the nets that know a pair.

    Parameters
    ----------
    members : sequence of Member
    users, items : ndarray of int, shape (n,)
        -1 for whom no table knows.
    contexts, clip, compute
        See `predict_cells`.
    cold : float, optional
        What is predicted where no net knows the pair; by default the mean that outputs are added
        to, or the biased mean with what is known of one of the two.

    Returns
    -------
    ndarray of float32, shape (n,)
    """
    total, weight = numpy.zeros(len(users), numpy.float32), numpy.zeros(len(users), numpy.float32)
    for member in members:
        rows, columns = member.cells(users, items)
        asked = numpy.flatnonzero((rows >= 0) & (columns >= 0))
        asked = asked[knows(member.net, member.inputs, rows[asked], columns[asked])]
        shape = member.inputs.shape
        # A pair may repeat; the cells of a matrix do not.
        numbers = rows[asked].astype(numpy.int64) * shape[1] + columns[asked]
        cells, places = numpy.unique(numbers, return_inverse=True)
        ones = numpy.ones(len(cells), dtype=numpy.float32)
        matrix = csr_matrix((ones, numpy.divmod(cells, shape[1])), shape=shape)
        wanted = Interactions(matrix, member.inputs.view)
        found = predict_cells(member.net, member.inputs, wanted, contexts, compute=compute)[places]
        share = numpy.float32(member.weight)
        total[asked] += share * found
        weight[asked] += share
    some = weight > 0
    predicted = numpy.zeros_like(total)
    numpy.divide(total, weight, out=predicted, where=some)
    if cold is None:
        mean, user_biases, item_biases = biases(members)
        rest = ~some
        predicted[rest] = mean + at(user_biases, users[rest]) + at(item_biases, items[rest])
    if clip is not None:
        predicted = predicted.clip(*clip)
    if cold is not None:
        predicted[~some] = cold
    return predicted


def biases(
    members: Sequence[Member],
) -> tuple[float, NDArray[numpy.float32], NDArray[numpy.float32]]:
    """Return what outputs are added to: the mean, and the biases of users and of items.

    They are 0 where outputs are added to less. Those of rows are had from the net whose rows they
    are, since these may have come after the training.
    """
    mean = 0.0
    found: dict[View, NDArray[numpy.float32]] = {}
    for member in [each for each in members if each.adds_to_means] or members:
        scaling, inputs = member.net.scaling, member.inputs
        if scaling is None:
            rows, columns = (numpy.zeros(count, numpy.float32) for count in inputs.shape)
        else:
            mean, (rows, columns) = scaling.coming_out[0], scaling.biases_out(inputs.matrix)
        other: View = "user" if inputs.view == "item" else "item"
        found[inputs.view] = rows
        found.setdefault(other, columns)
    return mean, found["user"], found["item"]


def best_weight(
    one: NDArray[numpy.float32], other: NDArray[numpy.float32], ratings: NDArray[numpy.float32]
) -> float:
    """Return the weight, from 0 to 1, by which `other` mixed with `one` is nearest to ratings.

    Parameters
    ----------
    one, other : ndarray of float32, shape (n,)
        Predictions, of two views for example.
    ratings : ndarray of float32, shape (n,)
    """
    way = other.astype(numpy.float64) - one
    length = float(way @ way)
    if length == 0:
        return 0.5
    return float(numpy.clip(way @ (ratings.astype(numpy.float64) - one) / length, 0, 1))


def at(values: NDArray[numpy.float32], codes: Integers) -> NDArray[numpy.float32]:
    """Return the values of codes, 0 for those that are -1 or past the end."""
    inside = numpy.where(codes < len(values), codes, -1)
    found: NDArray[numpy.float32] = numpy.append(values, numpy.float32(0))[inside]
    return found
