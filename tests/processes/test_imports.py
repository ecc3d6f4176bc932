"""Fresh interpreters that import autorec, and MXNet by it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autorec import _mxnet as door

PACKAGE = Path(door.__file__).parent


def run_python(code: str, *first_on_path: Path) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter that fails on any warning."""
    places = [*map(str, first_on_path), str(PACKAGE.parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_import_is_silent_and_leaves_the_warning_filters_alone() -> None:
    done = run_python(
        "import warnings, numpy\n"
        "before = list(warnings.filters)\n"
        "import autorec._mxnet\n"
        "assert warnings.filters == before, warnings.filters\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("given", [None, "1"])
def test_mxnet_is_told_of_all_processors_unless_another_number_is_given(
    given: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = "MXNET_OMP_MAX_THREADS"
    monkeypatch.setenv(variable, given or "")
    if given is None:
        monkeypatch.delenv(variable)
    (tmp_path / "mxnet.py").write_text(f"import os\nraise ImportError(os.environ['{variable}'])")
    done = run_python(
        "import os\n"
        "try:\n    import autorec._mxnet\n"
        f"except Exception as error: print(error, os.environ.get('{variable}'))",
        tmp_path,
    )
    expected = given or len(os.sched_getaffinity(0))
    assert f"(ImportError: {expected})" in done.stdout, done.stderr
    assert done.stdout.split()[-1] == str(given), "the environment is as it was"


def test_kernels_take_as_many_threads_as_mxnet(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    done = run_python("from autorec.compute import compiling\nprint(compiling.THREADS)\n")
    assert done.stdout.split() == ["1"], done.stderr


def test_mxnet_can_be_imported_by_hand_after_autorec() -> None:
    # The section's first cell, with autorec in the place of d2l.
    done = run_python(
        "import warnings; warnings.simplefilter('ignore')\n"
        "import autorec as d2l\n"
        "from mxnet import autograd, gluon, np, npx\n"
        "from mxnet.gluon import nn\n"
        "import mxnet as mx\n"
        "npx.set_np()\n"
        "print(np.array([True], dtype=bool).dtype, d2l.try_all_gpus)\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("bool <function try_all_gpus")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise OSError('libgomp.so.1: cannot open\\nsecond line')", "OSError: libgomp.so.1"),
        ("import a_module_that_is_not_there", "ModuleNotFoundError: No module named 'a_module"),
        ("", "ModuleNotFoundError: No module named 'mxnet.gluon'"),
    ],
)
def test_any_other_failure_of_the_import(source: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "mxnet").mkdir()
    (tmp_path / "mxnet" / "__init__.py").write_text(source)
    done = run_python(
        "from autorec.errors import MXNetUnavailableError\n"
        "try:\n"
        "    import autorec._mxnet\n"
        "except MXNetUnavailableError as error:\n"
        "    print(error)\n"
        "    assert isinstance(error.__cause__, (OSError, ImportError))\n",
        tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"MXNet is installed but cannot be imported ({reason}")
    assert done.stdout.count("\n") == 1


def test_importing_autorec_imports_no_other_package() -> None:
    done = run_python(
        "import sys; before = set(sys.modules)\n"
        "import autorec\n"
        "new = [sys.modules[name] for name in set(sys.modules) - before]\n"
        "print(*[each for each in new if 'site-packages' in str(getattr(each, '__file__', ''))])"
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr


def test_help_imports_nothing_that_takes_long() -> None:
    """The help of every command, one after the other; what it needs NumPy for is the numbers."""
    done = run_python(
        "import io, sys, warnings\n"
        "warnings.simplefilter('ignore')\n"  # Typer's own
        "from autorec.cli.app import app, run\n"
        "names = [command.name for command in app.registered_commands]\n"
        "sys.stdout, helps = io.StringIO(), 0\n"
        "for arguments in [[], *([name] for name in names)]:\n"
        "    sys.argv = ['autorec', *arguments, '--help']\n"
        "    try: run()\n"
        "    except SystemExit as end: helps += end.code == 0\n"
        "slow = 'pandas scipy mxnet numba sklearn matplotlib optuna'.split()\n"
        "print(helps - len(names), *(name for name in slow if name in sys.modules),\n"
        "      file=sys.__stdout__)"
    )
    assert done.stdout.split() == ["1"], done.stdout + done.stderr
