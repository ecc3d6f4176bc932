"""Pretraining in pairs: what the deep net starts from."""

import numpy
import pytest
from support.training import learned

from autorec import AutoRec, Interactions, evaluate, fit
from autorec._mxnet import mx
from autorec.errors import ConfigurationError
from autorec.training.pretraining import pretrain

SETTINGS = {
    "num_epochs": 100,
    "loss": "sum",
    "batch_size": 16,
    "learning_rate": 0.01,
    "weight_decay": 0.01,
    "init": mx.init.Normal(0.3),
}


def start_of(sizes, **settings):
    inputs = Interactions.from_ratings(learned())
    cpu = [mx.cpu()]
    start = pretrain(sizes, inputs, contexts=cpu, **{**SETTINGS, **settings})
    return inputs, start


@pytest.mark.parametrize("sizes", [(12, 12, 12), (12, 12, 12, 12, 12)])
def test_the_deep_net_starts_near_the_net_of_one_layer(sizes):
    inputs, start = start_of(sizes, code_epochs=500)
    shallow = AutoRec(sizes[0], inputs.shape[1], 0.0)
    fit(shallow, inputs, contexts=[mx.cpu()], **SETTINGS)
    scores = {}
    for name, values in (("pretrained", start), ("random", None)):
        net = AutoRec(sizes, inputs.shape[1], 0.0)
        fit(net, inputs, num_epochs=1, learning_rate=1e-30, start=values, contexts=[mx.cpu()])
        scores[name] = evaluate(net, inputs, inputs).rmse
    expected = evaluate(shallow, inputs, inputs).rmse
    print(f"one layer {expected:.3f}, deep: {scores}")
    assert expected <= scores["pretrained"] < 2 * expected < learned().values.std()


def test_the_values_are_those_of_the_deep_net_and_repeatable():
    inputs, start = start_of((6, 3, 6))
    net = AutoRec((6, 3, 6), inputs.shape[1])
    net.initialize()
    net(mx.np.zeros((1, inputs.shape[1])))
    shapes = {name: p.shape for name, p in net._collect_params_with_prefix().items()}
    assert {name: value.shape for name, value in start.items()} == shapes
    for name, value in start_of((6, 3, 6))[1].items():
        numpy.testing.assert_array_equal(value.asnumpy(), start[name].asnumpy())


@pytest.mark.parametrize("sizes", [(6,), (6, 3), (6, 6), (6, 3, 5), (6, 3, 3, 6)])
def test_sizes_without_a_middle_or_a_mirror_are_refused(sizes):
    with pytest.raises(ConfigurationError, match="read the same backwards"):
        start_of(sizes)
