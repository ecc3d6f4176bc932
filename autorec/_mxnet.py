"""The one door to MXNet: every other module takes ``mx``, ``np``, ``gluon``, ... from here.

What MXNet 1.9.1 lacks is put back before the import (see `_repairs`); an MXNet that is missing or
cannot be loaded is answered by `MXNetUnavailableError`, in one sentence.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy

from ._repairs import INSTALL, check_flavours, check_numpy, installed_flavours, repair
from .errors import MXNetUnavailableError


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


mx: Any = import_mxnet()
np: Any = mx.np
npx: Any = mx.npx
gluon: Any = mx.gluon
nn: Any = mx.gluon.nn
autograd: Any = mx.autograd
