"""Progress: what a run has come to between two epochs, and where Ctrl-C may stop it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Callable

from ._mxnet import np
from .history import History
from .state import check_like


@dataclass
class Progress:
    """What a run has come to: its epochs, and the weights by parameter, on the first device.

    `last` are those of the last epoch and `mean` that of `averaging`, both empty without it, for
    then the net has the last; `best` those that the net would end with, empty where these are the
    last.
    """

    history: History = field(default_factory=History)
    last: list[Any] = field(default_factory=list)
    mean: list[Any] = field(default_factory=list)
    best: list[Any] = field(default_factory=list)

    def state(self, net: Any) -> dict[str, Any]:
        """Return the weights by name, for a checkpoint."""
        names = _names(net)
        last = self.last or [parameter.data() for parameter in net.collect_params().values()]
        parts = {"weights": last, "mean": self.mean, "best": self.best}
        return {name: dict(zip(names, values)) for name, values in parts.items()}

    @classmethod
    def resume(cls, net: Any, history: History, state: Mapping[str, Any]) -> Progress:
        """Return the progress that a checkpoint has, and give the net its last weights.

        Raises
        ------
        ValueError, LookupError, TypeError
            If it is not one of such a net.
        """
        (first, *_) = net.collect_params().values()
        context = first.list_ctx()[0]
        names = _names(net)
        wanted = dict(zip(names, (each.data() for each in net.collect_params().values())))
        for part in ("weights", "mean", "best"):
            if part == "weights" or state[part]:
                check_like(wanted, state[part], part)
        last, mean, best = (
            [np.array(part[name], part[name].dtype, ctx=context) for name in names if name in part]
            for part in (state["weights"], state["mean"], state["best"])
        )
        load_weights(net, last)
        return cls(history, mean=mean, best=best)


def load_weights(net: Any, values: Sequence[Any]) -> None:
    """Give a net's parameters values, on all devices."""
    # Not by set_data, which makes the trainer of several devices forget the optimizer's state.
    for parameter, value in zip(net.collect_params().values(), values):
        for array in parameter.list_data():
            array[:] = value.as_in_ctx(array.ctx)


@contextmanager
def interrupts_held() -> Iterator[Callable[[], None]]:
    """Let Ctrl-C take effect where the function that is given is called, and a second one at once.

    MXNet calls the optimizer back from its own code, and what is raised there is lost.
    """
    came = False

    def take(number: int, frame: Any) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True

    def check() -> None:
        if came:
            raise KeyboardInterrupt

    # A program that has its own way with Ctrl-C keeps it.
    alone = threading.current_thread() is threading.main_thread()
    if not alone or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield check
        return
    signal.signal(signal.SIGINT, take)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    check()


def _names(net: Any) -> list[str]:
    """Return names of a net's parameters that are the same in every process."""
    found = {id(each): name for name, each in net._collect_params_with_prefix().items()}
    return [found.get(id(each), name) for name, each in net.collect_params().items()]
