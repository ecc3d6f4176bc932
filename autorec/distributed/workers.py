"""Workers: one process's place among those that train together, and what they add up."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy
from numpy.typing import NDArray

from .._arrays import Integers
from .._mxnet import Array, KVStore, mx, np, numpy_semantics
from ..errors import ConfigurationError
from .roles import KVStoreName, Role, Watchdog

Number = TypeVar("Number", bound=numpy.generic)

#: Numbers from which on an array is shared out among all servers, unless the environment says; sums
#: of workers that own columns are often below MXNet's own, a million.
_SPREAD = {"MXNET_KVSTORE_BIGARRAY_BOUND": 1 << 14}

#: Those that the process has joined and not left; MXNet has one store a process.
_joined: list[Workers] = []


class Workers:
    """This worker among all of a job; the only one, by default.

    A context: it is left together with the others, or at once with an exception.

    Attributes
    ----------
    rank : int
        From 0; the worker of rank 0 is the one that reports and saves.
    count : int
    """

    def __init__(self) -> None:
        self.rank, self.count = 0, 1
        self._store: KVStore | None = None
        self._watchdog: Watchdog | None = None
        self._num_keys = self._total_key = 0
        self._total: Array | None = None
        self._gather_keys: dict[int, int] = {}  # by the size of what is gathered
        self._sums: dict[int, tuple[int, Array]] = {}  # by the size of what is added up

    @classmethod
    @numpy_semantics()
    def join(cls, kvstore: KVStoreName | None) -> Workers:
        """Wait for the other processes of the job that the DMLC_* variables describe.

        Ctrl-C then concerns only rank 0, with which the others end.

        Parameters
        ----------
        kvstore : {"dist_sync", "dist_device_sync"}, optional
            MXNet's, gradients being added up on the CPU or on the GPUs before they are sent. None
            for a worker without others.

        Raises
        ------
        ConfigurationError
            If one of the variables is missing or cannot be used, or the process is no worker.
        """
        workers = cls()
        if kvstore is None:
            return workers
        role = Role.from_environment()
        if role.name != "worker":
            raise ConfigurationError(f"A {role.name} trains nothing; set DMLC_ROLE to worker.")
        if _joined:
            raise ConfigurationError("A process joins its job once; keep what join returned.")
        _joined.append(workers)
        atexit.register(workers._leave_at_exit)
        workers._watchdog = Watchdog(role)
        for variable, numbers in _SPREAD.items():
            os.environ.setdefault(variable, str(numbers))
        workers._store = store = mx.kv.create(kvstore)
        workers._watchdog.store = store.handle
        workers.rank, workers.count = store.rank, store.num_workers
        workers._total_key = workers.new_key()
        workers._total = np.zeros(1)
        store.init(workers._total_key, workers._total)
        workers._greet(role.num_servers)
        if workers.rank > 0:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        return workers

    def _greet(self, servers: int) -> None:
        """Wait for an answer of each server, which may be out of reach though the scheduler is not.

        A key is a server's by its number modulo their count, times a prime: as many keys in a row
        as there are servers reach each of them.
        """
        assert self._store is not None
        for _ in range(servers):
            key, array = self.new_key(), np.zeros(1)
            self._store.init(key, array)
            self._store.pushpull(key, array)
            array.wait_to_read()
        assert self._watchdog is not None
        self._watchdog.answered()

    def share(self, rows: Integers) -> Integers:
        """Return this worker's part of some rows, which may be none; each is one worker's."""
        part: Integers = numpy.array_split(rows, self.count)[self.rank]
        return part

    def gather(self, own: NDArray[Number]) -> NDArray[Number]:
        """Return what all workers have, in the order of ranks, which all get alike.

        Parameters
        ----------
        own : ndarray, shape (n,)
            Of this worker; as long as every other's.

        Returns
        -------
        ndarray, shape (workers, n)
        """
        if self._store is None:
            return own[None]
        # The servers add, in float32. Bytes, each worker's in a place of its own, survive that.
        sent = numpy.zeros((self.count, own.nbytes), dtype=numpy.float32)
        sent[self.rank] = numpy.ascontiguousarray(own).view(numpy.uint8)
        array = np.array(sent, ctx=mx.cpu())
        if own.nbytes not in self._gather_keys:
            self._gather_keys[own.nbytes] = self.new_key()
            self._store.init(self._gather_keys[own.nbytes], np.zeros_like(array))
        self._store.pushpull(self._gather_keys[own.nbytes], array)
        found: NDArray[Number] = array.asnumpy().astype(numpy.uint8).view(own.dtype)
        return found

    def add(self, own: Array) -> Array:
        """Return the sum of all workers' arrays, which all get alike.

        Each sends its array once and gets the sum once: the servers, which have no optimizer,
        replace what they hold by the sum of what the workers sent.

        Parameters
        ----------
        own : ndarray of float32
            Of this worker; of every other's shape.
        """
        if self._store is None:
            return own
        size = int(numpy.prod(own.shape))
        if size not in self._sums:
            self._sums[size] = self.new_key(), np.zeros(size, ctx=mx.cpu())
            self._store.init(*self._sums[size])
        # Always the same array, as in `total`.
        key, sums = self._sums[size]
        sums[:] = own.as_in_ctx(mx.cpu()).reshape(-1)
        self._store.pushpull(key, sums)
        return sums.copy().reshape(own.shape).as_in_ctx(own.ctx)

    def sums(self, values: Sequence[float]) -> NDArray[numpy.float64]:
        """Return the sum over the workers of each of some numbers, which all get alike."""
        sums: NDArray[numpy.float64] = self.gather(numpy.array(values, numpy.float64)).sum(axis=0)
        return sums

    def total(self, arrays: list[Array]) -> list[Array]:
        """Return arrays whose sum is that of all workers' arrays, without waiting for it.

        Parameters
        ----------
        arrays : list of ndarray
            One of each device, or fewer; of MXNet.
        """
        if self._store is None or self._total is None:
            return arrays
        sums = [each.sum().as_in_ctx(mx.cpu()).astype("float32") for each in arrays]
        # Always the same array: MXNet then sends the next sum only after this one is back, and not
        # before, which a server would take for another worker's.
        self._total[:] = sum(sums, np.zeros(()))
        self._store.pushpull(self._total_key, self._total)
        return [self._total.copy()]

    def check_alike(self, facts: Mapping[str, object]) -> None:
        """Refuse to go on where the workers were given different ratings or settings.

        Parameters
        ----------
        facts : mapping
            For JSON.

        Raises
        ------
        ConfigurationError
            If they differ from another worker's.
        """
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).digest()
        digests = self.gather(numpy.frombuffer(digest, dtype=numpy.uint8))
        if (digests != digests[0]).any():
            raise ConfigurationError(
                f"The {self.count} workers do not have the same ratings, settings and checkpoint; "
                "give each the same command, and files with the same content."
            )

    def trainer_options(self) -> dict[str, object]:
        """Return by which arguments of its own a `gluon.Trainer` adds up the workers' gradients.

        The servers add, and every worker takes the same step: they need no optimizer.
        """
        if self._store is None:
            return {}
        return {"kvstore": _TrainerStore(self._store, self), "update_on_kvstore": False}

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.close()

    def close(self) -> None:
        """Leave the job, when all workers do. MXNet's own exit would wait without being watched."""
        if self._store is None or self._watchdog is None:
            return
        self._store._barrier()
        self._watchdog.close()
        # What trainers hold of the store stays, and must not free it again.
        handle, self._store.handle = self._store.handle, mx.base.KVStoreHandle()
        mx.base.check_call(mx.base._LIB.MXKVStoreFree(handle))
        self._watchdog.end()
        self._store = None
        _joined.remove(self)

    def _leave_at_exit(self) -> None:
        if self in _joined:
            if hasattr(sys, "last_type"):  # an exception that nobody caught
                leave(1)
            self.close()

    def new_key(self) -> int:
        """Return a key of the store that is free; all workers ask for keys in the same order."""
        self._num_keys += 1
        return self._num_keys


class _TrainerStore(mx.kv.KVStoreBase):  # type: ignore[misc]
    """A job's store for one trainer: trainers count their keys from 0, each."""

    def __init__(self, store: KVStore, workers: Workers) -> None:
        self._store, self._workers = store, workers
        self._keys: dict[int, int] = {}

    @property
    def type(self) -> str:
        return self._store.type

    def broadcast(self, key: int, value: Array, out: Array, priority: int = 0) -> None:
        self._keys[key] = self._workers.new_key()
        self._store.broadcast(self._keys[key], value, out, priority)

    def pushpull(self, key: int, value: Array, out: Array | None = None, priority: int = 0) -> None:
        self._store.pushpull(self._keys[key], value, out, priority)

    def is_capable(self, capability: str) -> bool:
        return False


def leave(code: int) -> None:
    """End a process that is in a job, at once: MXNet's own exit would wait for the others."""
    if _joined:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
