"""Who a process is, by its environment; what it says where that cannot be."""

import socket
from types import SimpleNamespace

import pytest
from support.command_line import command_line

from autorec.distributed import roles
from autorec.errors import ConfigurationError


def test_the_environment_says_who_a_process_is(environment):
    assert roles.Role.from_environment() == roles.Role("worker", num_workers=2, num_servers=3)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DMLC_ROLE", None, "DMLC_ROLE is not set, and --kvstore needs it, scheduler, server or"),
        ("DMLC_ROLE", "king", "DMLC_ROLE cannot be 'king'"),
        ("DMLC_PS_ROOT_URI", None, "DMLC_PS_ROOT_URI is not set"),
        ("DMLC_PS_ROOT_PORT", "70000", "cannot be '70000'; set it to a number from 1 to 65535"),
        ("DMLC_NUM_WORKER", "0", "DMLC_NUM_WORKER cannot be '0'"),
        ("DMLC_NUM_SERVER", None, "DMLC_NUM_SERVER is not set.* on one machine with autorec la"),
        ("DMLC_PS_ROOT_URI", "two words", "'two words'; set it to the scheduler's address, or a"),
        ("DMLC_NODE_HOST", "192.0.2.1", "'192.0.2.1'; set it to an IP address of this machine"),
        ("DMLC_NODE_HOST", "localhost", "'localhost'; set it to an IP address of this machine"),
        ("DMLC_INTERFACE", "none7", "'none7'; set it to a network interface of this machine"),
        ("PORT", "none", "'none'; set it to a number from 1 to 65535"),
        ("PS_HEARTBEAT_TIMEOUT", "5", "cannot be '5'; set it to more than PS_HEARTBEAT_INTERVAL"),
    ],
)
def test_a_wrong_variable_is_named(environment, capsys, name, value, said):
    environment.setenv(name, value or "")
    if value is None:
        environment.delenv(name)
    with pytest.raises(ConfigurationError, match=said):
        roles.Role.from_environment()
    assert command_line(environment, "--kvstore", "dist_sync") == 2
    assert f"autorec: {name} " in capsys.readouterr().err


def test_the_scheduler_says_where_it_cannot_listen(environment):
    environment.setenv("DMLC_ROLE", "scheduler")
    for address in ("192.0.2.1", "localhost"):
        environment.setenv("DMLC_PS_ROOT_URI", address)
        with pytest.raises(ConfigurationError, match=f"'{address}'; set it to an IP address of"):
            roles.Role.from_environment()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environment.setenv("DMLC_PS_ROOT_PORT", str(port))
        for address, everywhere in {"127.0.0.1": "0", "a-name": "1"}.items():
            environment.setenv("DMLC_PS_ROOT_URI", address)
            environment.setenv("DMLC_USE_KUBERNETES", everywhere)
            with pytest.raises(ConfigurationError, match=f"'{port}'; set it to a port that is fr"):
                roles.Role.from_environment()
    assert roles.Role.from_environment().name == "scheduler"


def test_what_mxnet_says_is_one_sentence(monkeypatch):
    for said, sentence in {
        b"MXNetError: bind failed\nStack trace:\n  File van.cc, line 311": "bind failed",
        b"": "MXNet failed",
    }.items():
        library = SimpleNamespace(MXGetLastError=lambda said=said: said)
        monkeypatch.setattr(roles, "_library", lambda library=library: library)
        with pytest.raises(RuntimeError, match=f"^[^\n]*{sentence}$"):
            roles._check(-1)


def test_a_worker_that_servers_do_not_answer_ends_with_a_word(environment):
    environment.setenv("AUTOREC_JOIN_TIMEOUT", "1")
    environment.setattr(roles.Watchdog, "_are_all_there", lambda watchdog: True)
    environment.setattr(roles.Watchdog, "_dead", lambda *_: 0)
    said = []

    def give_up(watchdog, sentence):
        said.append(sentence)
        watchdog.end()

    environment.setattr(roles.Watchdog, "_give_up", give_up)
    roles.Watchdog(roles.Role("worker", 2, 3)).join(timeout=20)
    assert said == [
        "Not all servers and workers have answered within 1 s; let each of the job's machines "
        "reach all ports of the others."
    ]
