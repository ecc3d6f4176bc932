"""That kernels are being compiled is said, once."""

import logging

import numpy
import pytest

numba = pytest.importorskip("numba")

from autorec.compute import compiling, kernels  # noqa: E402


def test_compiling_is_said_once_and_only_of_kernels(caplog, monkeypatch):
    (listener,) = (
        each for each in numba.core.event._registered["numba:compile"]
        if isinstance(each, compiling._SaysOnce)
    )  # fmt: skip
    monkeypatch.setattr(listener, "said", False)
    caplog.set_level(logging.INFO, "autorec")
    numba.njit(lambda number: number + 1)(1)
    assert caplog.messages == []
    none, one = numpy.zeros(1, numpy.int32), numpy.zeros((1, 1), numpy.float32)
    for _ in range(2):
        alone = compiling.compiled(kernels.product.__wrapped__, cached=False)
        alone(0, 0, none, none[:0], numpy.zeros(0, numpy.float32), one, one.copy())
    assert caplog.messages == ["Compiling kernels, which takes a few seconds, once."]


def test_kernels_are_kept_where_numba_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert kernels.cache_folder().parent == tmp_path
