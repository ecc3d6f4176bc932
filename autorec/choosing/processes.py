"""Processes: how those that a search or a comparison starts begin."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnContext

#: They begin anew: MXNet's threads do not survive a fork.
SPAWN: SpawnContext = multiprocessing.get_context("spawn")


@contextmanager
def inherited(**variables: str) -> Iterator[None]:
    """Have processes begin with some variables, and without an ear for Ctrl-C."""
    before = {name: os.environ.get(name) for name in variables}
    alone = threading.current_thread() is threading.main_thread()
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN) if alone else None
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if alone:
            signal.signal(signal.SIGINT, heard)
