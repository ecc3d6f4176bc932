"""``autorec doctor``: what is there, and what is wrong, where something is."""

import sys

import pytest

import autorec._mxnet as door
from autorec.cli import app as cli
from autorec.cli import doctor


@pytest.fixture
def asked(tmp_path, monkeypatch, capsys):
    """Ask the doctor; return the exit code, the findings by name, and the lines below them."""

    def asked():
        monkeypatch.setattr(sys, "argv", ["autorec", "doctor"])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        assert err == ""
        first, _, last = out.partition("\n\n")
        found = dict(line.split(maxsplit=1) for line in first.splitlines())
        assert len(out.splitlines()) <= 24
        return end.value.code or 0, found, last.splitlines()

    monkeypatch.setenv("AUTOREC_DATA", str(tmp_path / "data"))
    return asked


def test_nothing_is_wrong_here(asked, tmp_path):
    release = tmp_path / "data" / "ml-100k"
    release.mkdir(parents=True)
    (release / "u.data").write_text("1\t1\t5\t9\n")
    code, found, last = asked()
    assert (code, last) == (0, ["Nothing is wrong."])
    assert list(found) == [
        "autorec", "Python", "NumPy", "MXNet", "GPUs", "numba", "threads", "extras", "data",
        "kernels",
    ]  # fmt: skip
    assert found["MXNet"].startswith("mxnet")
    assert "1.9.1" in found["MXNet"]
    assert sys.executable in found["Python"]
    assert found["data"] == f"{tmp_path / 'data'}, with ml-100k"


def test_a_missing_mxnet_is_said_and_all_else_is_looked_at(asked, monkeypatch):
    monkeypatch.setattr(doctor, "installed_flavours", list)
    monkeypatch.delitem(sys.modules, "autorec._mxnet")
    monkeypatch.setattr(sys.modules["autorec"], "_mxnet", door)  # put back at the end
    monkeypatch.setattr("autorec._environment.installed_flavours", list)
    monkeypatch.setattr("importlib.util.find_spec", hidden("mxnet"))
    code, found, last = asked()
    assert code == 1
    assert found["MXNet"] == "not installed"
    assert "data" in found
    assert [line for line in last if line.startswith("Wrong: MXNet is not installed: pip")]


def hidden(name):
    """Return importlib's find_spec without a package."""
    from importlib.util import find_spec

    return lambda asked, *more: None if asked == name else find_spec(asked, *more)


def test_gpus_that_mxnet_does_not_see_are_wrong_for_a_flavour_that_has_them(asked, monkeypatch):
    monkeypatch.setattr(doctor, "installed_flavours", lambda: ["mxnet-cu112"])
    monkeypatch.setattr(doctor, "version", lambda name: "1.9.1")
    monkeypatch.setattr(door.mx.context, "num_gpus", lambda: 0)
    code, found, last = asked()
    assert code == 1
    assert found["MXNet"] == "mxnet-cu112 1.9.1, for GPUs"
    assert found["GPUs"] == "none"
    assert last[0].startswith("Wrong: MXNet sees no GPU")
    monkeypatch.setattr(door.mx.context, "num_gpus", lambda: 2)
    code, found, _ = asked()
    assert (code, found["GPUs"]) == (0, "2")


def test_what_cannot_be_kept_is_wrong(asked, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AUTOREC_DATA", str(tmp_path / "file" / "below"))
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    code, _, last = asked()
    assert code == 1
    assert last == [
        "Wrong: OMP_NUM_THREADS is many, no number.",
        f"Wrong: {tmp_path / 'file' / 'below'} cannot be written: name another folder in "
        "AUTOREC_DATA.",
    ]


def test_kernels_are_kept_where_numba_is_told(asked, tmp_path, monkeypatch):
    numba = pytest.importorskip("numba")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kernels"))
    _, found, _ = asked()
    assert found["kernels"].startswith(f"{tmp_path / 'kernels'}")
    assert found["kernels"].endswith(", not compiled yet")
    monkeypatch.setattr("importlib.util.find_spec", hidden("numba"))
    code, found, _ = asked()
    assert code == 0
    assert found["numba"] == "not installed; pip install 'gluon-autorec[fast]' is faster"
