"""Environment: what MXNet 1.9.1 needs and today's NumPy, Python and CUDA lack, put back; versions.

MXNet is retired, and NumPy, Python and CUDA have moved on since.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import importlib.util
import platform
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy

from .errors import MXNetUnavailableError

INSTALL = "pip install 'gluon-autorec[cpu]', or 'gluon-autorec[cu112]' for an NVIDIA GPU"

# Every name under which MXNet was ever released; all of them unpack into the same folder.
FLAVOURS = (
    "mxnet",
    "mxnet-mkl",
    "mxnet-native",
    *(
        f"mxnet-cu{version}{suffix}"
        for version in (75, 80, 90, 91, 92, 100, 101, 102, 110, 111, 112)
        for suffix in ("", "mkl")
    ),
)

# What libmxnet.so of mxnet-cu112 is linked to, each library after those that it needs itself.
CUDA_LIBRARIES = (
    "cuda_runtime/lib/libcudart.so.11.0",
    "nvtx/lib/libnvToolsExt.so.1",
    "cuda_nvrtc/lib/libnvrtc.so.11.2",
    "cublas/lib/libcublasLt.so.11",
    "cublas/lib/libcublas.so.11",
    "cufft/lib/libcufft.so.10",
    "curand/lib/libcurand.so.10",
    "cusolver/lib/libcusolver.so.11",
    "cudnn/lib/libcudnn.so.8",
    "nccl/lib/libnccl.so.2",
)


def installed_flavours() -> list[str]:
    """Those of `FLAVOURS` that are installed."""

    def installed(name: str) -> bool:
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            return False
        return True

    return [name for name in FLAVOURS if installed(name)]


def check_flavours(flavours: Sequence[str]) -> None:
    """Refuse several MXNet distributions side by side.

    Raises
    ------
    MXNetUnavailableError
        If there is more than one.
    """
    if len(flavours) > 1:
        raise MXNetUnavailableError(
            f"{' and '.join(flavours)} are installed together and overwrite each other's files: "
            f"pip uninstall {' '.join(flavours)}, then {INSTALL}."
        )


def check_numpy(version: str) -> None:
    """Refuse NumPy 2, which lacks too many names that MXNet uses.

    Raises
    ------
    MXNetUnavailableError
        If `version` is 2 or later.
    """
    if int(version.split(".")[0]) >= 2:
        raise MXNetUnavailableError(
            f"MXNet 1.9.1 does not work with NumPy {version}: pip install 'numpy<2'."
        )


def check_driver(library: str = "libcuda.so.1") -> None:
    """Load the library of the NVIDIA driver, without which mxnet-cu112 cannot be loaded.

    Raises
    ------
    MXNetUnavailableError
        If it cannot be loaded.
    """
    try:
        ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise MXNetUnavailableError(
            f"mxnet-cu112 needs the NVIDIA driver, whose {library} cannot be loaded here: install "
            "the driver, or pip uninstall mxnet-cu112 and pip install 'gluon-autorec[cpu]'."
        ) from error


def cuda_folders() -> list[Path]:
    """Folders into which the ``nvidia-*-cu11`` wheels unpack: ``site-packages/nvidia``."""
    found = importlib.util.find_spec("nvidia")
    return [Path(folder) for folder in (found and found.submodule_search_locations) or ()]


def load_cuda(folders: Iterable[Path]) -> None:
    """Load `CUDA_LIBRARIES`, so that MXNet finds them loaded already.

    A library that is in none of `folders` is left to the system's own CUDA.

    Raises
    ------
    MXNetUnavailableError
        If a library is there and cannot be loaded.
    """
    places = list(folders)
    for name in CUDA_LIBRARIES:
        library = next((place / name for place in places if (place / name).exists()), None)
        if library is None:
            continue
        try:
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise MXNetUnavailableError(
                f"{library} cannot be loaded: pip install --force-reinstall 'gluon-autorec[cu112]'."
            ) from error


def restore_numpy_names() -> None:
    """Put back ``numpy.bool``, gone since NumPy 1.24; MXNet uses it in and after its import."""
    if "bool" not in vars(numpy):
        vars(numpy)["bool"] = bool


def restore_distutils() -> None:
    """Let setuptools stand in for ``distutils``, gone since Python 3.12.

    Raises
    ------
    MXNetUnavailableError
        If setuptools is not installed.
    """
    if importlib.util.find_spec("distutils") is None:
        try:
            importlib.import_module("setuptools")
        except ImportError as error:
            raise MXNetUnavailableError(
                "MXNet 1.9.1 needs distutils, which this Python lacks: pip install setuptools."
            ) from error


def repair(flavours: Sequence[str]) -> None:
    """Put back all that the installed flavour of MXNet lacks.

    Raises
    ------
    MXNetUnavailableError
        If that cannot be done.
    """
    if "mxnet-cu112" in flavours:
        check_driver()
        load_cuda(cuda_folders())
    restore_numpy_names()
    restore_distutils()


def repair_quietly() -> None:
    """Put back what can be, for those who import MXNet themselves after autorec.

    What cannot be put back is said when autorec imports MXNet itself.
    """
    with warnings.catch_warnings(), contextlib.suppress(MXNetUnavailableError):
        warnings.simplefilter("ignore")
        repair(installed_flavours())


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that a result depends on."""
    found = {"python": platform.python_version()}
    for name in ("gluon-autorec", "mxnet", "mxnet-cu112", "numpy", "numba", "pandas", "scipy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
