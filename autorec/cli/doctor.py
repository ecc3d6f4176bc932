"""The command that says what is there on a machine, and what is wrong; it works without MXNet."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Optional

import typer

from .. import __version__
from .._environment import check_numpy, installed_flavours
from .._terminal import shown
from ..errors import AutorecError, DataUnavailableError, MXNetUnavailableError

#: What is looked at, what was found, and what is wrong with it.
Finding = tuple[str, str, Optional[str]]

#: The package that stands for each extra, numba's apart.
_EXTRAS = {"onnx": "onnxruntime", "tune": "optuna", "compare": "myfm"}


def doctor_command() -> None:
    """Say what is there on this machine, and what is wrong.

    Python, MXNet and its flavour, GPUs, numba, threads, and where data sets and compiled kernels
    are kept. The exit code is 1 where something is wrong.
    """
    print(f"autorec {__version__}")
    wrong = []
    for what, found, complaint in findings():
        print(f"{what:10}{shown(found)}", flush=True)
        if complaint is not None:
            wrong.append(complaint)
    print()
    for complaint in wrong:
        print(f"Wrong: {shown(complaint)}")
    if wrong:
        raise typer.Exit(1)
    print("Nothing is wrong.")


def register(app: typer.Typer) -> None:
    """Give a command line this command."""
    app.command("doctor")(doctor_command)


def findings() -> Iterator[Finding]:
    """Yield what is found, one by one."""
    yield _python()
    yield _numpy()
    yield from _mxnet()
    yield _numba()
    yield _threads()
    yield _extras()
    yield _data()
    yield _kernels()


def _python() -> Finding:
    system, machine = platform.system(), platform.machine()
    wrong = None
    if not (3, 9) <= sys.version_info[:2] <= (3, 12):
        wrong = f"MXNet needs Python 3.9 to 3.12, and this is {platform.python_version()}."
    if (system, machine) != ("Linux", "x86_64"):
        wrong = f"MXNet has packages for Linux on x86-64 only, and this is {system} on {machine}."
    return "Python", f"{platform.python_version()} on {system} {machine}, {sys.executable}", wrong


def _numpy() -> Finding:
    found = version("numpy")
    try:
        check_numpy(found)
    except MXNetUnavailableError as error:
        return "NumPy", found, str(error)
    return "NumPy", found, None


def _mxnet() -> Iterator[Finding]:
    flavours = installed_flavours()
    found = " and ".join(f"{name} {version(name)}" for name in flavours) or "not installed"
    try:
        from .._mxnet import mx
    except MXNetUnavailableError as error:
        yield "MXNet", found, str(error)
        return
    for_gpus = any("-cu" in name for name in flavours)
    yield "MXNet", f"{found}, for {'GPUs' if for_gpus else 'the CPU'}", None
    count = mx.context.num_gpus()
    wrong = None
    if for_gpus and count == 0:
        wrong = (
            "MXNet sees no GPU, and will compute on the CPU: look at nvidia-smi and at "
            "CUDA_VISIBLE_DEVICES, or install the flavour for the CPU."
        )
    yield "GPUs", str(count or "none"), wrong


def _numba() -> Finding:
    if importlib.util.find_spec("numba") is None:
        return "numba", "not installed; pip install 'gluon-autorec[fast]' is faster", None
    return "numba", version("numba"), None


def _threads() -> Finding:
    processors = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
    named = os.environ.get("OMP_NUM_THREADS")
    if not named:
        return "threads", f"{processors}, one for each processor", None
    wrong = None if named.isdigit() and int(named) else f"OMP_NUM_THREADS is {named}, no number."
    return "threads", f"{named} of OMP_NUM_THREADS, on processors: {processors}", wrong


def _extras() -> Finding:
    there = {extra: importlib.util.find_spec(name) is not None for extra, name in _EXTRAS.items()}
    found = ", ".join(extra for extra in there if there[extra]) or "none"
    missing = ", ".join(extra for extra in there if not there[extra])
    return "extras", found + (f"; without {missing}" if missing else ""), None


def _data() -> Finding:
    from ..data.movielens.fetching import cache_folder
    from ..data.movielens.releases import RELEASES

    try:
        folder = cache_folder()
    except DataUnavailableError as error:
        return "data", "no folder", str(error)
    releases = [
        each.folder for each in RELEASES.values() if (folder / each.folder / each.ratings).is_file()
    ]
    wrong = None
    if not _can_be_written(folder):
        wrong = f"{folder} cannot be written: name another folder in AUTOREC_DATA."
    return "data", f"{folder}, with {', '.join(releases) or 'nothing yet'}", wrong


def _kernels() -> Finding:
    if importlib.util.find_spec("numba") is None:
        return "kernels", "none, without numba", None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            from ..compute.kernels import cache_folder
        except AutorecError:  # of MXNet, which is a finding of its own
            return "kernels", "unknown, without MXNet", None
        folder = cache_folder()
    if folder is None:
        return "kernels", "not kept", str(said[0].message)
    compiled = any(folder.glob("kernels.*.nbi"))
    return "kernels", f"{folder}, {'compiled' if compiled else 'not compiled yet'}", None


def _can_be_written(folder: Path) -> bool:
    there = next(each for each in (folder, *folder.parents) if each.exists())
    return there.is_dir() and os.access(there, os.W_OK)
