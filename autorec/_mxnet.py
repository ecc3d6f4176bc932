"""The one door to MXNet: every other module takes ``mx``, ``np``, ``gluon``, ... from here.

What MXNet 1.9.1 lacks is put back before the import (see `_repairs`); an MXNet that is missing or
cannot be loaded is answered by `MXNetUnavailableError`, in one sentence.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
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
    # MXNet would use half of the processors. Kernels use all, from the same pool of threads; where
    # the two differ, threads end and begin with each call, and six times the time was seen.
    os.environ.setdefault("MXNET_OMP_MAX_THREADS", str(_processors()))
    # What is warned about here is MXNet's own source: deprecated names, invalid escape sequences.
    with warnings.catch_warnings():
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


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


mx: Any = import_mxnet()
np: Any = mx.np
npx: Any = mx.npx
gluon: Any = mx.gluon
nn: Any = mx.gluon.nn
autograd: Any = mx.autograd
