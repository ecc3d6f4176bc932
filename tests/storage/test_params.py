"""Gluon's parameters are written and read without MXNet, and are the same to it, to the bit."""

import struct

import numpy
import pytest

from autorec import AutoRec
from autorec._mxnet import mx
from autorec._storage.params import stored_params, write_params


@pytest.fixture
def net():
    made = AutoRec((4, 3), 7)
    made.initialize(mx.init.Normal(1))
    made(mx.np.ones((2, 7)))
    return made


def arrays(net):
    named = net._collect_params_with_prefix().items()
    return {name: parameter.data() for name, parameter in named}


def read(path):
    with path.open("rb") as file:
        return {name: stored.read() for name, stored in stored_params(file).items()}


def assert_equal(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        numpy.testing.assert_array_equal(found[name], array.asnumpy())
        assert found[name].dtype == numpy.float32


def test_what_is_written_is_what_mxnet_writes_and_loads(net, tmp_path):
    with (tmp_path / "ours.params").open("wb") as file:
        write_params(file, arrays(net))
    net.save_parameters(str(tmp_path / "mxnets.params"))
    ours = (tmp_path / "ours.params").read_bytes()
    assert ours == (tmp_path / "mxnets.params").read_bytes()
    found = mx.npx.load(str(tmp_path / "ours.params"))
    assert_equal({name: array.asnumpy() for name, array in found.items()}, arrays(net))
    other = AutoRec((4, 3), 7)
    other.load_parameters(str(tmp_path / "ours.params"))
    assert_equal({n: array.asnumpy() for n, array in arrays(other).items()}, arrays(net))


@pytest.mark.parametrize("shapes", ["numpy", "legacy"])
def test_what_mxnet_writes_is_read(net, tmp_path, shapes):
    path = tmp_path / "mxnets.params"
    if shapes == "numpy":
        net.save_parameters(str(path))
    else:
        with mx.util.np_array(False), mx.util.np_shape(False):
            legacy = {name: array.as_nd_ndarray() for name, array in arrays(net).items()}
            mx.nd.save(str(path), legacy)
    assert_equal(read(path), arrays(net))


def test_legacy_mxnet_loads_what_is_written(net, tmp_path):
    path = tmp_path / "ours.params"
    with path.open("wb") as file:
        write_params(file, arrays(net))
    found = mx.nd.load(str(path))
    assert_equal({name: array.asnumpy() for name, array in found.items()}, arrays(net))


@pytest.mark.parametrize("place", range(0, 64, 4))
def test_no_number_of_a_header_is_trusted(net, tmp_path, place):
    path = tmp_path / "net.params"
    net.save_parameters(str(path))
    content = bytearray(path.read_bytes())
    for number in (11, 2**31, 2**32 - 1):
        content[place : place + 4] = struct.pack("<I", number)
        path.write_bytes(content)
        if place in (8, 12, 52, 56):  # reserved, or what device the array was on
            read(path)
        else:
            with pytest.raises(ValueError, match="array|too early|names|no file"):
                read(path)


@pytest.mark.parametrize("end", [0, 23, 24, 60, 200, -1])
def test_a_file_that_is_cut_is_refused(net, tmp_path, end):
    path = tmp_path / "net.params"
    net.save_parameters(str(path))
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(ValueError, match="it ends too early|names"):
        read(path)


def test_only_dense_arrays_of_float32_with_names_are_read(tmp_path):
    path = str(tmp_path / "odd.params")
    for odd in (
        {"a": mx.np.ones(3, dtype="float64")},
        {"a": mx.np.ones(3, dtype="int32")},
        {"a": mx.np.ones((0, 3))},
        [mx.np.ones(3)],
    ):
        mx.npx.save(path, odd)
        with pytest.raises(ValueError, match="float32|names"):
            read(tmp_path / "odd.params")
