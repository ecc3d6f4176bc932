"""Choice: whether a net computes whole rows or only the rated cells, as measured."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from functools import cache

import numpy

from .._mxnet import Block, Context
from ..data.interactions import Interactions
from ..errors import ConfigurationError
from ..model import AutoRec
from . import Compute


def has_kernels() -> bool:
    """Return whether numba, which compiles `kernels`, is installed; `operators` do without."""
    return importlib.util.find_spec("numba") is not None


def break_even(columns: int, kernels: bool, contexts: int = 1) -> float:
    """Return the share of rated cells up to which computing only these is faster.

    Measured by ``python -m benchmarks density``. With kernels: 0.19, 0.32 and 0.21 for 943,
    6,040 and 30,000 columns, and over several runs 0.19 to 0.29, 0.24 to 0.32 and 0.13 to 0.28.
    MXNet's operators are never faster there; at 160,000 columns they are up to 0.03.

    Parameters
    ----------
    columns : int
        Of the interactions.
    kernels : bool
        Whether kernels compute, or MXNet's operators.
    contexts : int
        On several each has gradients of its own, of all weights, and MXNet's optimizer adds them
        up: there, on two, 0.025 of the cells took 0.5 to 0.9 of the time of whole rows, 0.045 as
        long and 0.06 longer, for 943 and 6,040 columns.
    """
    if contexts > 1:
        return 0.03 if kernels else 0.0
    if kernels:
        return 0.25 if columns <= 10_000 else 0.15
    return 0.0 if columns <= 100_000 else 0.01


def is_sparse(
    compute: Compute, net: Block, inputs: Interactions, contexts: Sequence[Context]
) -> bool:
    """Return whether a net is computed only at the rated cells; else in whole rows.

    Parameters
    ----------
    compute : {"auto", "dense", "sparse"}
        "auto" is sparse on CPU contexts where no more cells are rated than `break_even` says; on
        GPUs neither was measured, and it is dense.
    net : Block
        A net that is not an `AutoRec` is computed densely.
    inputs : Interactions
    contexts : sequence of Context

    Raises
    ------
    ConfigurationError
        If `compute` is none of these, or "sparse" and the net is not an `AutoRec`.
    """
    if compute not in ("auto", "dense", "sparse"):
        raise ConfigurationError(f"compute must be auto, dense or sparse, not {compute!r}.")
    known = type(net) is AutoRec
    if compute != "auto":
        if compute == "sparse" and not known:
            raise ConfigurationError(
                "compute='sparse' knows only the layers of AutoRec; leave it at 'auto'."
            )
        return compute == "sparse"
    rows, columns = inputs.shape
    if not known or any(each.device_type != "cpu" for each in contexts):
        return False
    kernels, cells, count = has_kernels(), rows * columns, len(contexts)
    if not kernels and len(inputs) <= break_even(columns, True, count) * cells:
        _recommend_numba()
    return len(inputs) <= break_even(columns, kernels, count) * cells


#: The share of the lines up to which lazy updates are taken by themselves. With a twentieth, as on
#: CiaoDVD, an epoch takes the processor a quarter of the time; where more are touched they save
#: little. See `python -m benchmarks updates`.
RARE = 0.2


def touched_share(inputs: Interactions, batch_size: int) -> float:
    """Return the share of the columns with a rating that a batch of rows touches, on average."""
    rows = len(inputs.rated_rows())
    counts = numpy.bincount(inputs.matrix.indices)
    left_out = max(0.0, 1 - batch_size / max(rows, 1))
    return float(numpy.mean(1 - left_out ** counts[counts > 0]))


@cache
def _recommend_numba() -> None:  # once in a process
    warnings.warn("With numba installed this would be faster: pip install numba.", stacklevel=4)
