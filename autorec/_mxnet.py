"""The one door to MXNet: every other module takes ``mx``, ``np``, ``gluon``, ... from here.

What MXNet 1.9.1 lacks is put back before the import (see `_repairs`); an MXNet that is missing or
cannot be loaded is answered by `MXNetUnavailableError`, in one sentence. What threads and processes
have to know of it is here, too: its NumPy semantics and its random generators belong to a thread,
and its threads to the process that imported it.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import sys
import threading
import warnings
from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence, ValuesView
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import wraps
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any, Protocol, TypeVar, cast

import numpy
from numpy.typing import NDArray

from ._arrays import Array as Array
from ._arrays import Context as Context
from ._arrays import Operand
from ._environment import INSTALL, check_flavours, check_numpy, installed_flavours, repair
from .errors import MXNetUnavailableError

Function = TypeVar("Function", bound=Callable[..., object])


# What MXNet imports where it is there, and does without: scikit-learn for the base class of its old
# estimator, SciPy's statistics for one way to quantise. Nothing here needs them, they take a third
# of the time, and cannot be imported where no folder takes temporary files.
UNUSED = ("sklearn", "scipy.stats")


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
    with warnings.catch_warnings(), _all_processors(), _without(*UNUSED):
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
    mxnet.contrib.quantization.stats = _Statistics()
    return mxnet  # type: ignore[no-any-return]


class _Statistics:
    """SciPy's statistics, imported when MXNet's quantisation comes to use them."""

    def __getattr__(self, name: str) -> object:
        return getattr(importlib.import_module("scipy.stats"), name)


@contextmanager
def _all_processors() -> Iterator[None]:
    """Set the number of threads that MXNet and its OpenMP read when they are loaded.

    MXNet would use half of the processors. A thread that has nothing to do would go on trying for
    milliseconds, on a processor that kernels and MXNet's other threads wait for. What the
    environment says already stays.
    """
    wanted = {"MXNET_OMP_MAX_THREADS": str(processors()), "GOMP_SPINCOUNT": "10000"}
    missing = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            del os.environ[name]


def processors() -> int:
    """Return the number of processors that this process may use."""
    linux = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if linux else os.cpu_count() or 1


@contextmanager
def _without(*modules: str) -> Iterator[None]:
    """Hide modules that are not imported yet from the imports of this thread."""
    hidden = _Hidden(modules, threading.get_ident())
    sys.meta_path.insert(0, hidden)
    try:
        yield
    finally:
        sys.meta_path.remove(hidden)


class _Hidden(MetaPathFinder):
    """Finder of modules that a thread cannot import."""

    def __init__(self, modules: Sequence[str], thread: int) -> None:
        self._modules, self._thread = modules, thread

    def find_spec(self, name: str, *_: object) -> None:
        if name in self._modules and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@contextmanager
def numpy_semantics() -> Iterator[None]:
    """Turn MXNet's NumPy semantics on, and restore the thread's own afterwards; also a decorator.

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
    def run(*arguments: object, **named: object) -> object:
        if npx.is_np_array():
            return function(*arguments, **named)
        context = copy_context()
        return _lent.submit(lambda: context.run(function, *arguments, **named)).result()

    return cast(Function, run)


def to_mxnet(values: NDArray[numpy.float32], context: Context) -> Array:
    """Return a copy of NumPy's numbers, in a tenth of the time of ``np.array`` where it is small.

    That waits for MXNet's engine, which has nothing to do with an array that is new.
    """
    if context.device_type != "cpu" or not values.size:
        return np.array(values, "float32", ctx=context)
    result, start = np.empty(values.shape, ctx=context), ctypes.POINTER(ctypes.c_float)()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(result.handle, ctypes.byref(start)))
    numpy.ctypeslib.as_array(start, values.shape)[...] = values
    return result


def forked() -> bool:
    """Return whether this process was forked after MXNet was imported.

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


class Parameter(Protocol):
    """A parameter of a net, ``gluon.Parameter``: an array on each of its devices."""

    shape: tuple[int, ...]
    wd_mult: float

    def data(self, ctx: Context | None = None) -> Array: ...
    def grad(self, ctx: Context | None = None) -> Array: ...
    def list_data(self) -> list[Array]: ...
    def list_ctx(self) -> list[Context]: ...
    def set_data(self, data: Array) -> None: ...
    def initialize(self, init: object = None, ctx: Sequence[Context] | None = None) -> None: ...


class Parameters(Protocol):
    """A net's parameters by name, ``gluon.ParameterDict``."""

    def items(self) -> ItemsView[str, Parameter]: ...
    def values(self) -> ValuesView[Parameter]: ...
    def setattr(self, name: str, value: object) -> None: ...


class Block(Protocol):
    """A net or a part of one, ``nn.Block``."""

    _children: Mapping[str, object]

    def __call__(self, *inputs: Array) -> Array: ...
    def collect_params(self) -> Parameters: ...
    def _collect_params_with_prefix(self) -> Mapping[str, Parameter]: ...
    def initialize(
        self,
        init: object = None,
        ctx: Context | Sequence[Context] | None = None,
        verbose: bool = False,
        force_reinit: bool = False,
    ) -> None: ...


class Sequential(Block, Protocol):
    """Layers one after the other, ``nn.Sequential``."""

    def add(self, *layers: Block) -> None: ...
    def __iter__(self) -> Iterator[Block]: ...


class Activation(Block, Protocol):
    """An activation by its name in MXNet, ``nn.Activation``."""

    _act_type: str


class Dense(Block, Protocol):
    """A dense layer, ``nn.Dense``: act(weight · x + bias)."""

    weight: Parameter
    bias: Parameter
    act: Activation | None


class Updater(Protocol):
    """What holds the optimizer's arrays of some devices, ``mx.optimizer.Updater``."""

    states: dict[int, Any]
    states_synced: dict[int, bool]


class Trainer(Protocol):
    """What takes the optimizer's steps, ``gluon.Trainer``."""

    optimizer: Any
    _params: Sequence[Parameter]
    _params_to_init: Sequence[Parameter]
    _kv_initialized: bool
    _kvstore: Any
    _update_on_kvstore: bool
    _updaters: Sequence[Updater]

    @property
    def learning_rate(self) -> float: ...
    def _init_kvstore(self) -> None: ...
    def _init_params(self) -> None: ...
    def set_learning_rate(self, lr: float) -> None: ...
    def step(self, batch_size: int) -> None: ...


class KVStore(Protocol):
    """What adds up arrays of several processes, ``mx.kv.KVStore``."""

    handle: ctypes.c_void_p
    rank: int
    num_workers: int
    type: str

    def init(self, key: int, value: Array) -> None: ...
    def broadcast(self, key: int, value: Array, out: Array, priority: int = 0) -> None: ...
    def pushpull(
        self, key: int, value: Array, out: Array | None = None, priority: int = 0
    ) -> None: ...
    def _barrier(self) -> None: ...


class Functions(Protocol):
    """MXNet's NumPy, ``mx.np``, as far as this library uses it."""

    ndarray: type[Array]
    random: Any

    def array(
        self, object: object, dtype: object = None, *, ctx: Context | None = None
    ) -> Array: ...
    def empty(self, shape: int | tuple[int, ...], *, ctx: Context | None = None) -> Array: ...
    def zeros(self, shape: int | tuple[int, ...], *, ctx: Context | None = None) -> Array: ...
    def zeros_like(self, a: Array) -> Array: ...
    def abs(self, x: Array) -> Array: ...
    def sign(self, x: Array) -> Array: ...
    def square(self, x: Array) -> Array: ...
    def not_equal(self, x1: Array, x2: Operand) -> Array: ...
    def maximum(self, x1: Array, x2: Operand) -> Array: ...
    def minimum(self, x1: Array, x2: Operand) -> Array: ...
    def dot(self, a: Array, b: Array) -> Array: ...
    def take(self, a: Array, indices: Array, axis: int | None = None) -> Array: ...
    def concatenate(self, seq: Sequence[Array]) -> Array: ...


# MXNet has no annotations of its own.
mx: Any = import_mxnet()
np: Functions = mx.np
npx: Any = mx.npx
gluon: Any = mx.gluon
nn: Any = mx.gluon.nn
autograd: Any = mx.autograd
