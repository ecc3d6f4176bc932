"""What the tests share: seeds that are printed and can be replayed, and MovieLens-100K.

What may be asked to the last bit: what is copied and not computed, and two runs of one program on
one machine, such as a run that was resumed beside one that never stopped. Batches of another shape,
and other processors, numbers of threads and kernels of OpenBLAS or oneDNN, add up in another order.
So where the same is computed in two ways, or compared with a number that was written down, a test
has a tolerance, `support.ROUNDING` or one with its reason beside it; and it does not ask for the
order of scores that lie within it.
"""

from __future__ import annotations

import dataclasses
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import pytest
from support.movielens import FILES, Server, checksum, release_zip

from autorec.data.movielens import releases
from autorec.data.movielens import tables as movielens
from autorec.data.movielens.tables import RELEASES
from autorec.data.ratings import Ratings
from autorec.errors import DataUnavailableError


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> numpy.random.Generator:
    """Random numbers for one test; AUTOREC_TEST_SEED replays the seed that a failure shows."""
    from autorec._mxnet import mx

    named = os.environ.get("AUTOREC_TEST_SEED")
    seed = int(named) if named else zlib.crc32(request.node.nodeid.encode()) % 2**31
    print(f"AUTOREC_TEST_SEED={seed}")
    mx.random.seed(seed)
    numpy.random.seed(seed)
    return numpy.random.default_rng(seed)


@pytest.fixture(scope="session")
def ml_100k() -> Path:
    """Folder of MovieLens-100K; without it a test is skipped, but fails in CI."""
    try:
        return movielens.fetch("100k")
    except DataUnavailableError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def ratings_100k(ml_100k: Path) -> Ratings:
    return movielens.load_movielens("100k")


@pytest.fixture
def ratings_file(tmp_path: Path, rng: numpy.random.Generator) -> Path:
    """A file of half stars that 20 users gave to 30 items, half of all."""
    path = tmp_path / "films.csv"
    item, user = (rng.random((30, 20)) < 0.5).nonzero()
    stars = rng.integers(1, 11, len(item)) / 2
    rows = "".join(f"u{u},{10 * i},{s}\n" for u, i, s in zip(user, item, stars))
    path.write_text("userId,movieId,rating\n" + rows)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, checksums of the made-up releases, and no way to the outside."""
    for name, release in list(RELEASES.items()):
        made_up = dataclasses.replace(
            release,
            md5=release.md5 and checksum("md5", release_zip(name)),
            sha1=release.sha1 and checksum("sha1", FILES[name][release.ratings]),
        )
        monkeypatch.setitem(RELEASES, name, made_up)
    monkeypatch.setattr(releases, "GROUPLENS", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("AUTOREC_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(releases, "GROUPLENS", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.before.set()
    server.after.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Be a worker of a job, by the environment."""
    given = {
        "DMLC_ROLE": "worker",
        "DMLC_PS_ROOT_URI": "10.0.0.1",
        "DMLC_PS_ROOT_PORT": "9000",
        "DMLC_NUM_WORKER": "2",
        "DMLC_NUM_SERVER": "3",
        "PS_HEARTBEAT_INTERVAL": "5",
        "PS_HEARTBEAT_TIMEOUT": "30",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


_SOAKED = pytest.StashKey[dict[str, int]]()


@pytest.fixture
def soaked(request: pytest.FixtureRequest) -> Callable[[str, int], None]:
    """Count what an attack did, for the table that ``make soak`` ends with."""
    counts = request.config.stash.setdefault(_SOAKED, {})

    def add(what: str, count: int) -> None:
        counts[what] = counts.get(what, 0) + count

    return add


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the counts, where a soak was asked for."""
    if config.option.markexpr == "soak":
        terminalreporter.section("soak")
        for what, count in config.stash.get(_SOAKED, {}).items():
            terminalreporter.write_line(f"{count:7,}  {what}")
