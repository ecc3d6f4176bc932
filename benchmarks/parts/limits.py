"""Limits: each kernel's time against that of moving its bytes, and of doing its operations.

What the machine gives is measured in the same run: bytes in a plain copy of large arrays,
operations in a plain product of matrices. Neither limit can be reached by a kernel that gathers
lines of a matrix; the fractions tell which kernel is the furthest from them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy

from benchmarks import synthetic
from benchmarks.jobs.epoch_job import BATCH, timed
from benchmarks.machine import describe_machine, sentence
from benchmarks.markdown import quantity, table, write

PACKAGES = ("gluon-autorec", "mxnet", "numba", "numpy")
#: Items, users and ratings.
SHAPES = {
    "ML-1M shape": (3_706, 6_040, 1_000_209),
    "ML-10M shape": (10_677, 69_878, 10_000_000),
}
#: Of the kernel that is the furthest from its limit.
TRIED = (
    "The furthest is the product, which reads a line of the weight for each rating, from wherever "
    "in caches or memory it lies: those bytes are four to ten times the ones in the table. What "
    "was tried (the fastest of 25, at the shapes of ML-1M and ML-10M): one line at a time took "
    "1.25 and 14.1 ms, four at a time 0.89 and 7.8, eight 0.79 and 7.6. By column, each thread "
    "with hidden units of its own: 1.8 and 11.0 ms. In tiles of columns that stay in a cache: 0.75 "
    "and 5.6 ms at best, but at 160,000 users and 2 million ratings 2.4 ms or more instead of 2.0. "
    "Four at a time, by row, is the simplest of the good ones, and was kept."
)
QUICK = {"a small shape": (300, 400, 5_000)}


@dataclass(frozen=True)
class Kernel:
    """A kernel at work on a batch.

    Parameters
    ----------
    name : str
    call : callable
    bytes : float
        Between memory and processor, if each array goes there once: what is read, and what is
        written.
    operations : float
        Additions, multiplications, divisions and roots.
    """

    name: str
    call: Callable[[], Any]
    bytes: float
    operations: float


def compare(
    folder: Path,
    shapes: Mapping[str, tuple[int, int, int]] = SHAPES,
    units: int = 500,
    repeats: int = 15,
    megabytes: int = 512,
) -> str:
    """Measure, and write limits.md and limits.json to a folder.

    Parameters
    ----------
    folder : Path
    shapes : mapping
        Items, users and ratings, by name.
    units, repeats : int
        Hidden units; how often each kernel runs.
    megabytes : int
        Of the array that is copied.

    Returns
    -------
    str
        The table, in Markdown.
    """
    machine = describe_machine(PACKAGES)
    print("limits: a plain copy, a plain product ...", file=sys.stderr, flush=True)
    limits = {
        "copy": copied(megabytes, repeats),
        "product": multiplied(units, 20 * units, repeats),
    }
    results = []
    for name, shape in shapes.items():
        print(f"limits: {name} ...", file=sys.stderr, flush=True)
        for kernel in kernels(shape, units):
            seconds = median(timed(kernel.call, repeats))
            by_limit = {
                "copy": kernel.bytes / limits["copy"],
                "product": kernel.operations / limits["product"],
            }
            binding = max(by_limit, key=lambda limit: by_limit[limit])
            results.append({
                "shape": name,
                "kernel": kernel.name,
                "seconds": seconds,
                "bytes": kernel.bytes,
                "operations": kernel.operations,
                "binding": binding,
                "fraction": by_limit[binding] / seconds,
            })  # fmt: skip
    text = render(results, limits, units, machine)
    write(folder, "limits", text, {"machine": machine, "limits": limits, "results": results})
    return text


def copied(megabytes: int, repeats: int) -> float:
    """Return the bytes a second that are read and written by a copy on all cores."""
    from numba import njit, prange

    @njit(parallel=True)
    def copy(source: Any, target: Any) -> None:
        for place in prange(len(source)):
            target[place] = source[place]

    source = numpy.ones(megabytes * 250_000, dtype=numpy.float32)
    target = numpy.zeros_like(source)
    by_numpy = median(timed(lambda: numpy.copyto(target, source), repeats))
    by_numba = median(timed(lambda: copy(source, target), repeats))
    return 2 * source.nbytes / min(by_numpy, by_numba)


def multiplied(units: int, columns: int, repeats: int) -> float:
    """Return the operations a second of an encoder's product, by whichever library is faster."""
    from autorec._mxnet import mx, np, npx

    rng = numpy.random.default_rng(0)
    rows = rng.random((BATCH, columns), dtype=numpy.float32)
    weight = rng.random((units, columns), dtype=numpy.float32)
    arguments = np.array(rows), np.array(weight)

    def by_mxnet() -> None:
        npx.fully_connected(*arguments, num_hidden=units, no_bias=True)
        mx.npx.waitall()

    times = [timed(by_mxnet, repeats), timed(lambda: rows @ weight.T, repeats)]
    return 2 * BATCH * columns * units / min(map(median, times))


def kernels(shape: tuple[int, int, int], units: int) -> list[Kernel]:
    """Return the kernels at work on a batch of a synthetic set of that shape."""
    from autorec._mxnet import mx
    from autorec.compute.kernels import Cells, adam_step, at_cells, product

    rng = numpy.random.default_rng(0)
    train = synthetic.interactions(*shape)
    matrix = train.matrix[rng.permutation(train.rated_rows())[:BATCH]]
    (rows, columns), cells = matrix.shape, matrix.nnz
    touched = len(numpy.unique(matrix.indices))
    indptr, indices, values = matrix.indptr, matrix.indices, matrix.data
    weight = rng.normal(0, 0.01, (columns, units)).astype(numpy.float32)
    code = rng.random((rows, units), dtype=numpy.float32)
    bias = numpy.zeros(columns, dtype=numpy.float32)
    batch = Cells(matrix, mx.cpu())
    (starts, places, order), (columns_of, starts_of) = batch.by_column, batch.touched
    of_all = numpy.arange(columns, dtype=starts.dtype)
    sums_of = {shape: numpy.zeros((shape, units), dtype=numpy.float32) for shape in (rows, columns)}
    of_cells = numpy.zeros(cells, dtype=numpy.float32)
    state = [numpy.full_like(weight, 1e-4) for _ in range(2)]
    decays = numpy.full(columns, 0.03, dtype=numpy.float32)
    numbers = tuple(map(numpy.float32, (0.001, 1 / BATCH, 0.9, 0.999, 1e-8)))
    # In numbers of four bytes: for each cell its place and value, lines that are touched, codes.
    lines, codes, weights = touched * units, rows * units, columns * units
    sums = 2 * cells * units
    return [
        Kernel(
            "product",
            lambda: product(indptr, indices, values, weight, sums_of[rows]),
            4 * (2 * cells + lines + codes),
            sums,
        ),
        Kernel(
            "at_cells",
            lambda: at_cells(starts_of, columns_of, places, order, code, weight, bias, of_cells),
            4 * (3 * cells + lines + codes),
            sums,
        ),
        Kernel(
            "product, transposed",
            lambda: product(starts, places, values, code, sums_of[columns]),
            4 * (2 * cells + codes + weights),
            sums,
        ),
        Kernel(
            "adam_step",
            lambda: adam_step(
                starts, of_all, places, values, code, weight, *state, decays, *numbers
            ),
            4 * (2 * cells + codes + 6 * weights),
            sums + 14 * weights,
        ),
    ]


def render(
    results: Sequence[Mapping[str, Any]],
    limits: Mapping[str, float],
    units: int,
    machine: Mapping[str, Any],
) -> str:
    """Return the table, in Markdown."""
    rows = [
        [
            f"{each['shape']}: {each['kernel']}",
            quantity(1e3 * each["seconds"], "ms"),
            quantity(each["bytes"] / 1e6, "MB"),
            quantity(each["operations"] / 1e9, "G"),
            quantity(each["bytes"] / each["seconds"] / 1e9, "GB/s"),
            quantity(each["operations"] / each["seconds"] / 1e9, "GFLOP/s"),
            each["binding"],
            f"{each['fraction']:.0%}",
        ]
        for each in results
    ]
    head = ["", "time", "bytes", "operations", "", "", "limit that binds", "of that limit"]
    lines = [
        f"Each kernel on a batch of {BATCH} rows with {units} hidden units, medians, beside what "
        f"the machine gives in the same run: {limits['copy'] / 1e9:.1f} GB/s in a plain copy, read "
        f"and written, and {limits['product'] / 1e9:.0f} GFLOP/s in a plain product. Bytes are "
        "those that have to move if each array moves once.",
        "",
        *table(head, rows),
        "",
        TRIED,
        "",
        sentence(machine),
        "",
    ]
    return "\n".join(lines)
