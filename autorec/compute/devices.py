"""Devices: from "cpu:2" or "gpu:0,1" to MXNet contexts, and rows shared among them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

from .._arrays import AnyArray
from .._mxnet import Array, Context, mx, np, numpy_semantics
from ..errors import ConfigurationError


def try_all_gpus() -> list[Context]:
    """Return a context for every GPU, or ``[cpu()]`` without one (d2l's function returns [])."""
    return [mx.gpu(i) for i in range(mx.context.num_gpus())] or [mx.cpu()]


def contexts(devices: str = "gpu") -> list[Context]:
    """Return the contexts that a text names.

    Parameters
    ----------
    devices : str
        "cpu"; "cpu:2", which is two contexts on the same cores, separate devices to MXNet, for
        trying out what runs on two GPUs; "gpu", which is every GPU; "gpu:0,1", which is those.

    Returns
    -------
    list of Context
        The CPU, with a warning, where "gpu:..." names GPUs and there is none.

    Raises
    ------
    ConfigurationError
        If the text names no device, one twice, or a GPU that is not there while others are.
    """
    if devices == "gpu":
        return try_all_gpus()
    match = re.fullmatch(r"cpu(?::([1-9]\d?))?|gpu:(\d+(?:,\d+)*)", devices)
    if not match:
        raise ConfigurationError(
            f"{devices!r} names no device; write cpu, cpu:2, gpu, gpu:0 or gpu:0,1 for example."
        )
    count, numbers = match.groups()
    if numbers is None:
        return [mx.cpu(i) for i in range(int(count or 1))]
    indices = [int(number) for number in numbers.split(",")]
    if len(set(indices)) < len(indices):
        raise ConfigurationError(f"{devices!r} names a device twice; name each once.")
    available = mx.context.num_gpus()
    if available == 0:
        warnings.warn(f"No GPU is visible, so {devices!r} runs on the CPU.", stacklevel=2)
        return [mx.cpu()]
    if max(indices) >= available:
        raise ConfigurationError(
            f"{devices!r} names GPU {max(indices)}; this machine's GPUs are 0 to {available - 1}."
        )
    return [mx.gpu(i) for i in indices]


@numpy_semantics()
def split_rows(array: Array | AnyArray, contexts: Sequence[Context]) -> list[Array]:
    """Split the rows of an array over contexts, as evenly as possible.

    Parameters
    ----------
    array : ndarray, shape (n, ...)
        Of NumPy or MXNet, n at least 1.
    contexts : sequence of Context

    Returns
    -------
    list of ndarray
        One part for each context, on it and never empty: where there are fewer rows than
        contexts, the contexts after the n-th get row 0 again, for their results to be left out.
    """
    n, count = len(array), len(contexts)
    bounds = [n * i // count for i in range(count + 1)] if n >= count else list(range(n + 1))
    parts = [array[low:high] for low, high in zip(bounds, bounds[1:])]
    parts += [array[:1]] * (count - len(parts))
    return [
        part.as_in_ctx(context) if isinstance(part, np.ndarray) else np.array(part, ctx=context)
        for part, context in zip(parts, contexts)
    ]
