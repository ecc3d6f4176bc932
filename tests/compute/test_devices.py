import numpy
import pytest

from autorec._mxnet import mx, np
from autorec.compute.devices import contexts, split_rows, try_all_gpus
from autorec.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cpu", [mx.cpu()]),
        ("cpu:1", [mx.cpu(0)]),
        ("cpu:3", [mx.cpu(0), mx.cpu(1), mx.cpu(2)]),
    ],
)
def test_cpus_by_name(text, expected):
    assert contexts(text) == expected


@pytest.mark.parametrize(
    "text", ["", "tpu", "cpu:", "gpu:a", "cpu:0", "cpu:0,1", "gpu:0,,1", "gpu:0,0", "gpu:-1"]
)
def test_texts_that_name_no_device_are_refused(text):
    with pytest.raises(ConfigurationError, match="names"):
        contexts(text)


def test_without_a_gpu_the_cpu_is_used(monkeypatch):
    monkeypatch.setattr(mx.context, "num_gpus", lambda: 0)
    assert try_all_gpus() == contexts("gpu") == [mx.cpu()]
    with pytest.warns(UserWarning, match="No GPU"):
        assert contexts("gpu:0") == [mx.cpu()]


def test_gpus_by_name(monkeypatch):
    monkeypatch.setattr(mx.context, "num_gpus", lambda: 2)
    assert try_all_gpus() == contexts("gpu") == [mx.gpu(0), mx.gpu(1)]
    assert contexts("gpu:1") == [mx.gpu(1)]
    with pytest.raises(ConfigurationError, match="GPU 2"):
        contexts("gpu:0,2")


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("array", [numpy.asarray, np.array])
def test_rows_are_shared_in_order_and_none_is_lost(n, count, array):
    rows = numpy.arange(2 * n, dtype="float32").reshape(n, 2)
    devices = [mx.cpu(i) for i in range(count)]
    parts = split_rows(array(rows), devices)
    assert [part.ctx for part in parts] == devices
    assert min(len(part) for part in parts) > 0
    together = numpy.concatenate([part.asnumpy() for part in parts])
    numpy.testing.assert_array_equal(together[:n], rows)
    for spare in together[n:]:
        numpy.testing.assert_array_equal(spare, rows[0])
