"""Stepping: steps of training by kernels on made-up rows, to time them by the number of rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy
from scipy.sparse import csr_matrix


def sparse_step(
    most: int, a_row: int, columns: int, units: int, dropout: float = 0.0
) -> Callable[[int], None]:
    """Return a function that makes a step of so many rows, and waits for its end.

    Parameters
    ----------
    most : int
        Rows that there are.
    a_row : int
        Ratings of each.
    columns, units : int
        Of the net.
    dropout : float
    """
    from autorec import AutoRec, Interactions
    from autorec._mxnet import mx
    from autorec.training.settings import Settings
    from autorec.training.sparse_steps import SparseSteps

    random = numpy.random.default_rng(0)
    rows = numpy.repeat(numpy.arange(most), a_row)
    values = random.integers(1, 6, len(rows)).astype("float32")
    places = random.integers(0, columns, len(rows))
    inputs = Interactions(csr_matrix((values, (rows, places)), shape=(most, columns)))
    net = AutoRec(units, columns, dropout)
    net.initialize(mx.init.Normal(0.01))
    steps = SparseSteps(net, inputs, Settings(loss="sum", weight_decay=0.01), [mx.cpu()])

    def step(size: int) -> None:
        steps.step(numpy.arange(size))
        mx.npx.waitall()

    return step
