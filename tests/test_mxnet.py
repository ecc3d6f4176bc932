"""The door to MXNet: what it gives, what it puts back, and its answer to a broken installation."""

from __future__ import annotations

import ast
import ctypes
import importlib
import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy
import pytest
from support.processes import python

from autorec import _environment as repairs
from autorec import _mxnet as door
from autorec.errors import MXNetUnavailableError

PACKAGE = Path(door.__file__).parent


def install(folder: Path, name: str) -> None:
    """Leave in `folder` what pip leaves of a distribution called `name`."""
    record = folder / f"{name.replace('-', '_')}-1.9.1.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.9.1\n")


def test_it_gives_mxnet_with_numpy_semantics() -> None:
    assert door.mx.__version__ == "1.9.1"
    assert door.npx.is_np_array()
    assert isinstance(door.nn.Dense(1), door.gluon.Block)
    assert door.np.array([0.0, 1.0], dtype=bool).dtype == bool
    with door.autograd.record():
        assert door.autograd.is_recording()


@pytest.mark.parametrize("shape", [(1,), (0,), (0, 3), (3, 0), (5,), (7, 3), (300, 500)])
@pytest.mark.parametrize("context", [door.mx.cpu(0), door.mx.cpu(1)])
def test_numpys_numbers_are_copied_for_mxnet(shape: tuple[int, ...], context: Any) -> None:
    values = numpy.random.default_rng(1).standard_normal((2, *shape)).astype("f4")[1]
    for given in (values, values.astype(float), numpy.asfortranarray(values)):
        found = door.to_mxnet(given, context)
        assert (found.ctx, found.dtype, found.shape) == (context, numpy.float32, shape)
        numpy.testing.assert_array_equal(found.asnumpy(), values)
    numpy.testing.assert_array_equal((found + found).asnumpy(), values + values)
    before = values.copy()
    values[...] = 0  # is not the copy's
    numpy.testing.assert_array_equal(found.asnumpy(), before)


def test_arrays_that_are_given_up_while_mxnet_computes_are_not_written_over() -> None:
    """MXNet frees memory only when all that reads it has ended."""
    sums = []
    for number in range(200):
        each = door.to_mxnet(numpy.full((256, 500), number, "f4"), door.mx.cpu())
        sums.append(door.np.dot(each, each.T)[0, 0])
    assert [float(each) for each in sums] == [500.0 * number**2 for number in range(200)]


def test_what_nothing_here_needs_is_not_imported_with_it() -> None:
    """Nor is it lost: MXNet's quantisation finds SciPy's statistics when it comes to use them."""
    code = """
import sys
from autorec._mxnet import UNUSED, mx
print(*(name in sys.modules for name in UNUSED), mx.contrib.quantization.stats.entropy([1, 1]))
"""
    scikit_learn, statistics, entropy = python("-c", code).stdout.split()
    assert (scikit_learn, statistics) == ("False", "False")
    assert float(entropy) == pytest.approx(numpy.log(2))


def test_what_is_hidden_from_one_thread_is_there_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with door._without("elsewhere"), ThreadPoolExecutor() as pool:
        with pytest.raises(ModuleNotFoundError, match="No module named 'elsewhere'"):
            importlib.import_module("elsewhere")
        assert pool.submit(importlib.import_module, "elsewhere").result().__name__ == "elsewhere"


def test_no_other_module_imports_mxnet() -> None:
    for file in PACKAGE.rglob("*.py"):
        imported = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
        assert ("mxnet" in imported) == (file.name == "_mxnet.py"), file


@pytest.mark.parametrize(
    "names", [[], ["mxnet"], ["mxnet-cu112"], ["mxnet", "mxnet-cu112"], ["mxnet-cu92mkl"]]
)
def test_installed_flavours(
    names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [*names, "mxnet-model-server", "numpy"]:
        install(tmp_path, name)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert repairs.installed_flavours() == names


def test_nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "installed_flavours", list)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MXNetUnavailableError, match=r"not installed: .*\[cpu\].*\[cu112\]"):
        door.import_mxnet()


def test_several_flavours_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "installed_flavours", lambda: ["mxnet", "mxnet-cu112"])
    with pytest.raises(MXNetUnavailableError, match="pip uninstall mxnet mxnet-cu112, then"):
        door.import_mxnet()


@pytest.mark.parametrize("version", ["2.0.0", "2.4.1", "10.0.0rc1"])
def test_numpy_2(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy, "__version__", version)
    with pytest.raises(MXNetUnavailableError, match=f"NumPy {version}: pip install 'numpy<2'"):
        door.import_mxnet()


def test_numpy_1_is_accepted() -> None:
    repairs.check_numpy("1.23.5")
    repairs.check_numpy("1.26.4")


def test_cu112_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_library(library: str, mode: int) -> None:
        raise OSError(f"{library}: cannot open shared object file")

    monkeypatch.setattr(door, "installed_flavours", lambda: ["mxnet-cu112"])
    monkeypatch.setattr(ctypes, "CDLL", no_such_library)
    with pytest.raises(MXNetUnavailableError, match=r"NVIDIA driver, whose libcuda\.so\.1") as seen:
        door.import_mxnet()
    assert isinstance(seen.value.__cause__, OSError)


def test_cu112_with_a_driver_loads_the_libraries_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    monkeypatch.setattr(door, "installed_flavours", lambda: ["mxnet-cu112"])
    monkeypatch.setattr(repairs, "cuda_folders", lambda: [tmp_path])
    monkeypatch.setattr(ctypes, "CDLL", lambda library, mode: loaded.append(library))
    (tmp_path / "nccl/lib").mkdir(parents=True)
    (tmp_path / "nccl/lib/libnccl.so.2").touch()
    door.import_mxnet()
    assert loaded == ["libcuda.so.1", str(tmp_path / "nccl/lib/libnccl.so.2")]


def test_cuda_libraries_load_for_all_in_order_of_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    needed = "cublas/lib/libcublasLt.so.11"
    needing = "cublas/lib/libcublas.so.11"
    for library in (first / needing, second / needing, second / needed):
        library.parent.mkdir(parents=True, exist_ok=True)
        library.touch()
    loaded = []
    monkeypatch.setattr(ctypes, "CDLL", lambda library, mode: loaded.append((library, mode)))
    repairs.load_cuda([first, second])
    assert loaded == [
        (str(second / needed), ctypes.RTLD_GLOBAL),
        (str(first / needing), ctypes.RTLD_GLOBAL),
    ]


def test_a_damaged_cuda_library(tmp_path: Path) -> None:
    library = tmp_path / "curand/lib/libcurand.so.10"
    library.parent.mkdir(parents=True)
    library.write_bytes(b"no library")
    with pytest.raises(MXNetUnavailableError, match=r"libcurand\.so\.10 cannot be loaded"):
        repairs.load_cuda([tmp_path])


def test_cuda_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert repairs.cuda_folders() == []
    (tmp_path / "nvidia" / "cudnn" / "lib").mkdir(parents=True)
    importlib.invalidate_caches()
    assert repairs.cuda_folders() == [tmp_path / "nvidia"]


def test_numpy_bool_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = type(numpy)("numpy")
    monkeypatch.setattr(repairs, "numpy", plain)
    repairs.restore_numpy_names()
    assert plain.bool is bool  # type: ignore[attr-defined]


def test_distutils_without_setuptools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "setuptools", None)
    with pytest.raises(MXNetUnavailableError, match="pip install setuptools"):
        repairs.restore_distutils()
