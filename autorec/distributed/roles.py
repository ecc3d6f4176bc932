"""Roles: which process of a job over several machines this one is, and an end with all others.

A job is a scheduler, servers and workers, which find each other by the DMLC_* variables that
MXNet's launchers set. MXNet itself waits for ever for a process that is gone.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, cast

from .._environment import INSTALL, installed_flavours, repair
from ..errors import AutorecError, ConfigurationError, MXNetUnavailableError

KVStoreName = Literal["dist_sync", "dist_device_sync"]
#: What a worker takes its share of: the rows of a batch, or the columns of the net.
Parallel = Literal["rows", "columns"]
RoleName = Literal["scheduler", "server", "worker"]

#: Seconds from one sign of life to the next, and without one until a process counts as dead, where
#: MXNet's own variables do not say.
HEARTBEAT = {"PS_HEARTBEAT_INTERVAL": 5, "PS_HEARTBEAT_TIMEOUT": 30}

#: Seconds until all processes have to be there, and, once the last has come to its end, gone.
JOINING = {"AUTOREC_JOIN_TIMEOUT": 600}
_CLOSING = 60

_SERVERS, _WORKERS, _ALL = 2, 4, 7  # groups of processes, as MXNet numbers them


@dataclass(frozen=True)
class Role:
    """What the environment says of this process and its job."""

    name: RoleName
    num_workers: int
    num_servers: int

    @classmethod
    def from_environment(cls) -> Role:
        """Read the DMLC_* variables, and set those that say when a process counts as dead.

        Raises
        ------
        ConfigurationError
            If one is missing or cannot be used on this machine: MXNet's own words for that are
            lines of its source.
        """
        name = os.environ.get("DMLC_ROLE", "")
        if name not in ("scheduler", "server", "worker"):
            raise _refused("DMLC_ROLE", "scheduler, server or worker")
        if not os.environ.get("DMLC_PS_ROOT_URI"):
            raise _refused("DMLC_PS_ROOT_URI", "the scheduler's address")
        _number("DMLC_PS_ROOT_PORT", most=65535)
        if name == "scheduler":
            _check_the_schedulers_address()
        else:
            _check_addresses()
        for variable, seconds in HEARTBEAT.items():
            os.environ.setdefault(variable, str(seconds))
        if _number("PS_HEARTBEAT_TIMEOUT") <= _number("PS_HEARTBEAT_INTERVAL"):
            raise _refused("PS_HEARTBEAT_TIMEOUT", "more than PS_HEARTBEAT_INTERVAL")
        return cls(cast(RoleName, name), _number("DMLC_NUM_WORKER"), _number("DMLC_NUM_SERVER"))


def serve(role: Role) -> None:
    """Be the scheduler or a server until the workers are done.

    Servers only add up what the workers send. MXNet's own, which run as soon as its Python is
    imported, would also unpickle an optimizer that anybody on the network may send; these know
    no Python.

    Parameters
    ----------
    role : Role
        Not a worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's handler would wait for MXNet's end
    library, store = _library(), ctypes.c_void_p()
    _check(library.MXKVStoreCreate(b"dist_sync", ctypes.byref(store)))
    watchdog = Watchdog(role)
    watchdog.store = store
    command = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
    _check(library.MXKVStoreRunServer(store, command(lambda *_: None), None))
    watchdog.end()


class Watchdog(threading.Thread):
    """Ends this process, with a sentence, if others of the job do not come or are gone.

    Every process sends signs of life to the scheduler, which answers them. The scheduler ends when
    one stays out, all others when the scheduler's stay out: after twice the time at most.

    Parameters
    ----------
    role : Role
        Of this process.

    Attributes
    ----------
    store : c_void_p, optional
        The handle of MXNet's store, once it is made.
    """

    def __init__(self, role: Role) -> None:
        super().__init__(daemon=True, name="watchdog")
        self.store: ctypes.c_void_p | None = None
        self._role, self._ended = role, threading.Event()
        self._joined = self._closing = False
        self._answered = role.name != "worker"
        self._since = time.monotonic()
        # A process of a job that came too early, or a typing error, should not stay for ever.
        self._patience = _number("AUTOREC_JOIN_TIMEOUT", JOINING["AUTOREC_JOIN_TIMEOUT"])
        self._silence = _number("PS_HEARTBEAT_TIMEOUT")
        self.start()

    def answered(self) -> None:
        """Know that this worker has heard from all servers."""
        self._answered = True

    def close(self) -> None:
        """Stop asking the store; what is left to do has to come to its end soon."""
        self._since, self._closing = time.monotonic(), True

    def end(self) -> None:
        """Watch no longer."""
        self._ended.set()

    def run(self) -> None:
        """Look once a second."""
        while not self._ended.wait(1):
            waited = time.monotonic() - self._since
            if self._closing:
                if waited > _CLOSING:
                    self._give_up(f"The other processes have not ended within {_CLOSING} s.")
            elif not self._joined:
                self._joined = self._are_all_there()
                if self._joined:
                    self._since = time.monotonic()
                elif waited > self._patience:
                    self._give_up(
                        f"The job's other processes have not come within {self._patience} s; start "
                        f"a scheduler, {_some(self._role.num_servers, 'server')} and "
                        f"{_some(self._role.num_workers, 'worker')} with the same DMLC_PS_ROOT_URI "
                        "and DMLC_PS_ROOT_PORT, and DMLC_INTERFACE or DMLC_NODE_HOST on a machine "
                        "with several networks."
                    )
            elif self._dead(_ALL, self._silence):
                self._give_up(
                    f"{self._who_is_gone()} gave no sign of life for {self._silence} s, so the "
                    "job has ended; a run with checkpoints goes on by train --resume."
                )
            elif not self._answered and waited > self._patience:
                self._give_up(
                    f"Not all servers and workers have answered within {self._patience} s; let "
                    "each of the job's machines reach all ports of the others."
                )

    def _are_all_there(self) -> bool:
        # Before it knows its workers the store must not be asked, and until it has met them it
        # knows of no dead ones, even if to be heard of a second from now is too late.
        if self.store is None:
            return False
        number = ctypes.c_int()
        _check(_library().MXKVStoreGetGroupSize(self.store, ctypes.byref(number)))
        return number.value > 0 and self._dead(_ALL, -1) > 0

    def _dead(self, group: int, silence: int) -> int:
        """Return how many of a group were not heard of for so many seconds, as far as is seen."""
        number = ctypes.c_int()
        dead = _library().MXKVStoreGetNumDeadNode
        _check(dead(self.store, group, ctypes.byref(number), silence))
        return number.value

    def _who_is_gone(self) -> str:
        if self._role.name != "scheduler":
            return "The scheduler, which ends with any other process of the job,"
        groups = {"worker": _WORKERS, "server": _SERVERS}
        dead = {name: self._dead(group, self._silence) for name, group in groups.items()}
        return " and ".join(_some(number, name) for name, number in dead.items() if number)

    def _give_up(self, sentence: str) -> None:
        print(f"autorec: {sentence}", file=sys.stderr, flush=True)
        os._exit(1)


@cache
def _library() -> ctypes.CDLL:
    """Return MXNet's library without MXNet's Python, which takes long to import."""
    flavours = installed_flavours()
    repair(flavours)
    spec = importlib.util.find_spec("mxnet")
    folders = (spec and spec.submodule_search_locations) or []
    for path in (Path(folder) / "libmxnet.so" for folder in folders):
        if path.exists():
            library = ctypes.CDLL(str(path))
            library.MXGetLastError.restype = ctypes.c_char_p
            return library
    raise MXNetUnavailableError(f"MXNet is not installed: {INSTALL}.")


def _check(code: int) -> None:
    if code != 0:
        lines = _library().MXGetLastError().decode(errors="replace").strip().splitlines()
        # The rest are the places in MXNet's source that it came by.
        said = [line for line in lines if "Error: " in line] or lines or ["MXNet failed"]
        raise RuntimeError(said[0])


def _check_the_schedulers_address() -> None:
    everywhere = os.environ.get("DMLC_USE_KUBERNETES", "0") != "0"
    host = "" if everywhere else os.environ["DMLC_PS_ROOT_URI"]
    if not _can_listen(host):
        raise _refused("DMLC_PS_ROOT_URI", "an IP address of the scheduler's machine")
    if not _can_listen(host, _number("DMLC_PS_ROOT_PORT")):
        raise _refused("DMLC_PS_ROOT_PORT", "a port that is free on the scheduler's machine")


def _check_addresses() -> None:
    """Check what a server or a worker is told of the scheduler's address and its own."""
    if os.environ.get("DMLC_USE_KUBERNETES", "0") == "0":  # whose names may come late
        try:
            socket.getaddrinfo(os.environ["DMLC_PS_ROOT_URI"], None)
        except (OSError, UnicodeError):
            wanted = "the scheduler's address, or a name that resolves"
            raise _refused("DMLC_PS_ROOT_URI", wanted) from None
    host, interface = (os.environ.get(f"DMLC_{name}") for name in ("NODE_HOST", "INTERFACE"))
    if host and not _can_listen(host):
        raise _refused("DMLC_NODE_HOST", "an IP address of this machine")
    if interface and not host and interface not in {name for _, name in socket.if_nameindex()}:
        raise _refused("DMLC_INTERFACE", "a network interface of this machine")
    if "PORT" in os.environ:
        _number("PORT", most=65535)


def _can_listen(host: str, port: int = 0) -> bool:
    """Return whether MXNet can listen there; it takes addresses in numbers, no names."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host and socket.inet_ntoa(socket.inet_aton(host)), port))
        except OSError:
            return False
    return True


def _some(number: int, name: str) -> str:
    return f"{number} {name}{'s' * (number > 1)}"


def _number(variable: str, default: int | None = None, most: int = 10**9) -> int:
    value = os.environ.get(variable, "" if default is None else str(default))
    if not value.isdecimal() or not 1 <= int(value) <= most:
        raise _refused(variable, f"a number from 1{f' to {most}' if most < 10**9 else ''}")
    return int(value)


def _refused(variable: str, wanted: str) -> ConfigurationError:
    value = os.environ.get(variable)
    if value is not None:
        return ConfigurationError(f"{variable} cannot be {value!r}; set it to {wanted}.")
    return ConfigurationError(
        f"{variable} is not set, and --kvstore needs it, {wanted}: start the job with a launcher "
        "that sets it, on one machine with autorec launch."
    )


def main() -> None:
    """Be a scheduler or a server without the command line, which takes longer to import."""
    try:
        serve(Role.from_environment())
    except (AutorecError, RuntimeError) as error:
        print(f"autorec: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, AutorecError) else 1)


if __name__ == "__main__":
    main()
