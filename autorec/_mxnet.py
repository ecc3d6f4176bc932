"""The one door to MXNet: every other module takes ``mx``, ``np``, ``gluon``, ... from here.

What MXNet 1.9.1 lacks is put back before the import (see `_repairs`); an MXNet that is missing or
cannot be loaded is answered by `MXNetUnavailableError`, in one sentence. What threads and processes
have to know of it is here, too: its NumPy semantics and its random generators belong to a thread,
and its threads to the process that imported it.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import wraps
from types import ModuleType
from typing import Any, TypeVar, cast

import numpy

from ._environment import INSTALL, check_flavours, check_numpy, installed_flavours, repair
from .errors import MXNetUnavailableError

Function = TypeVar("Function", bound=Callable[..., Any])


def import_mxnet() -> ModuleType:
    """Import MXNet, with all that it lacks put back, and turn its NumPy semantics on.

    Raises
    ------
    MXNetUnavailableError
        If it is missing or cannot be loaded.
    """
    flavours = installed_flavours()
    if not flavours and importlib.util.find_spec("mxnet") is None:
        raise MXNetUnavailableError(f"MXNet is not installed: {INSTALL}.")
    check_flavours(flavours)
    check_numpy(numpy.__version__)
    # What is warned about here is MXNet's own source: deprecated names, invalid escape sequences.
    with warnings.catch_warnings(), _all_processors():
        warnings.simplefilter("ignore")
        repair(flavours)
        try:
            import mxnet
            import mxnet.gluon
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise MXNetUnavailableError(
                f"MXNet is installed but cannot be imported ({reason}): "
                f"pip uninstall {' '.join(flavours) or 'mxnet'}, then {INSTALL}."
            ) from error
    mxnet.npx.set_np()
    return mxnet  # type: ignore[no-any-return]


@contextmanager
def _all_processors() -> Iterator[None]:
    """Have MXNet, and its OpenMP, read when they are loaded how many threads there are to be.

    MXNet would use half of the processors. Kernels use all, from the same pool of threads, and
    where the two differ, threads end and begin with each call: six times the time was seen. A
    thread that has nothing to do would go on trying for milliseconds, on a processor that MXNet's
    other threads wait for. What the environment says already stays.
    """
    linux = hasattr(os, "sched_getaffinity")
    processors = len(os.sched_getaffinity(0)) if linux else os.cpu_count() or 1
    wanted = {"MXNET_OMP_MAX_THREADS": str(processors), "GOMP_SPINCOUNT": "10000"}
    missing = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            del os.environ[name]


@contextmanager
def numpy_semantics() -> Iterator[None]:
    """Have MXNet's NumPy semantics on, and leave the thread as it was; a decorator, too.

    MXNet keeps them for each thread, and off where nobody turned them on. For what calls its caller
    back, or is Gluon's; else see `from_any_thread`.
    """
    with mx.util.np_shape(), mx.util.np_array():
        yield


def from_any_thread(function: Function) -> Function:
    """Let a function that computes be called from any thread.

    MXNet makes random generators for each thread that computes, 5 MB, and keeps them when it ends:
    a server with a thread for each request would grow until it is killed. So, where the NumPy
    semantics are off, the function runs on one of a few threads that stay.
    """

    @wraps(function)
    def run(*arguments: Any, **named: Any) -> Any:
        if npx.is_np_array():
            return function(*arguments, **named)
        return _lent.submit(copy_context().run, function, *arguments, **named).result()

    return cast(Function, run)


def forked() -> bool:
    """Tell whether this process was forked after MXNet was imported.

    OpenMP's threads stay behind in the parent: MXNet computes on one thread then, and so must
    others.
    """
    return _forked


def _lendable() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="autorec", initializer=lambda: npx.set_np())


def _begin_child() -> None:
    global _forked, _lent
    _forked = True
    _lent = _lendable()  # the threads stay behind in the parent


_lent = _lendable()
_forked = False
os.register_at_fork(after_in_child=_begin_child)

mx: Any = import_mxnet()
np: Any = mx.np
npx: Any = mx.npx
gluon: Any = mx.gluon
nn: Any = mx.gluon.nn
autograd: Any = mx.autograd
