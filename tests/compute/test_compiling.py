"""That kernels are being compiled is said, once."""

import logging

import numpy
import pytest

numba = pytest.importorskip("numba")

from autorec._mxnet import autograd, np  # noqa: E402
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


def test_the_sum_of_rows_is_mxnets_to_the_bit():
    rng = numpy.random.default_rng(3)
    # The cosines cancel, so that a sum in another order ends in other bits.
    dense = (rng.standard_normal((257, 40)) * numpy.cos(numpy.arange(257))[:, None]).astype("f4")
    found = kernels.Cells.total(dense)
    bias = np.zeros(40)
    bias.attach_grad()
    with autograd.record():
        rows = np.array(dense) + bias
    rows.backward(np.array(dense))
    numpy.testing.assert_array_equal(found, bias.grad.asnumpy())
    assert (found != dense.sum(axis=0)).any(), "the order is to be seen"


def test_kernels_are_kept_where_numba_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert kernels.cache_folder().parent == tmp_path
