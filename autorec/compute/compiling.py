"""Compiling: how numba compiles kernels, where it keeps them, and how threads share their lines.

A kernel goes through some of the lines of a matrix; threads take others, and each writes places of
its own: equal inputs give equal bits, however many threads run. (Numba's own loops over threads say
the same and take six times as long to compile.) A process that was forked has one thread for them.
"""

from __future__ import annotations

import logging
import os
import pickle
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps

import numpy
from numba import njit
from numba.core.event import Event, Listener, register

from .._arrays import Integers
from .._mxnet import forked, processors

_log = logging.getLogger("autorec")

# As many threads as MXNet has, see `_mxnet`.
_NAMED = os.environ.get("OMP_NUM_THREADS", "")
THREADS = max(1, int(_NAMED)) if _NAMED.isdigit() else processors()
_pool = ThreadPoolExecutor(THREADS, thread_name_prefix="autorec-kernels")
#: One thread is soonest through with fewer lines and cells than this. Of more, each takes some
#: pieces as they come, since processors may have other things to do.
_FEW, _PIECES = 2_000, 4

# Sums that may be reordered go eight at a time; infinities and NaN stay what they are.
_FAST = {"reassoc", "contract"}
# What a cache of compiled kernels fails with: it cannot be written or read, or is damaged.
_UNUSABLE = (OSError, EOFError, pickle.UnpicklingError)


def kernel(function: Callable[..., None], reordered: bool = True) -> Callable[..., None]:
    """Compile a function of some lines when it is first called; let threads share all lines.

    It takes the first line, the one after the last, and where the cells of each start. Its sums
    may be `reordered`, or are taken as they are written.
    """
    made: list[Callable[..., None]] = []

    @wraps(function)
    def run(starts: Integers, *arguments: object) -> None:
        if not made:
            made.append(compiled(function, reordered))
        try:  # with no line: it is compiled, or read from the cache, before threads need it
            made[0](0, 0, starts, *arguments)
        except _UNUSABLE as error:  # the cache's: the function itself opens nothing
            _say_uncached(str(error) or type(error).__name__)
            made[0] = compiled(function, reordered, cached=False)

        def lines(first: int, end: int) -> None:
            made[0](first, end, starts, *arguments)

        bounds = _shared(starts)
        if len(bounds) == 2:
            lines(*bounds)
        else:
            list(_pool.map(lines, bounds, bounds[1:]))

    return run


def _shared(starts: Integers) -> list[int]:
    """Return the bounds of pieces that have as many lines and cells, one piece for one thread."""
    lines = len(starts) - 1
    work = starts + numpy.arange(lines + 1)
    if THREADS == 1 or work[-1] < _FEW or forked():
        return [0, lines]
    even = numpy.linspace(0, work[-1], THREADS * _PIECES + 1)[1:-1]
    return [0, *numpy.searchsorted(work, even).tolist(), lines]


def compiled(
    function: Callable[..., None], reordered: bool = True, cached: bool = True
) -> Callable[..., None]:
    """Return a function that numba compiles when it is first called, and keeps if it can."""
    fast = _FAST if reordered else False
    compiling = partial(njit, nogil=True, fastmath=fast, error_model="numpy")
    if cached:
        try:
            return compiling(cache=True)(function)
        except RuntimeError:  # numba found no place for it
            _say_uncached("no folder can be written")
    return compiling()(function)


class _SaysOnce(Listener):
    """Says, once in a process, that kernels are compiled and not found in the cache."""

    said = False

    def on_start(self, event: Event) -> None:
        if not self.said and event.data["dispatcher"].py_func.__module__.startswith("autorec."):
            self.said = True
            _log.info("Compiling kernels, which takes a few seconds, once.")

    def on_end(self, event: Event) -> None:
        pass


register("numba:compile", _SaysOnce())  # type: ignore[no-untyped-call]


_said_uncached = False


def _say_uncached(reason: str) -> None:
    global _said_uncached
    if not _said_uncached:
        _said_uncached = True
        warnings.warn(
            f"Compiled kernels cannot be kept ({reason}), so every process compiles its own, which "
            "takes some seconds; to keep them, name a folder in the environment's NUMBA_CACHE_DIR.",
            stacklevel=4,
        )
