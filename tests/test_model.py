"""AutoRec against plain NumPy: outputs, mask and gradients."""

import numpy
import pytest

from autorec import AutoRec
from autorec._mxnet import autograd, mx, np

SHAPES = [(1, 1, 1), (4, 3, 2), (7, 5, 11), (16, 30, 8)]  # batch, columns, hidden


def sigmoid(x):
    return 1 / (1 + numpy.exp(-x))


def random_net(columns, hidden, dropout=0.0, hybridize=False):
    net = AutoRec(hidden, columns, dropout)
    net.initialize(mx.init.Normal(0.3))
    net(np.zeros((1, columns)))
    for bias in (net.encoder.bias, net.decoder.bias):
        bias.set_data(np.random.normal(0, 0.3, bias.shape))
    if hybridize:
        net.hybridize()
    names = ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias")
    parameters = net._collect_params_with_prefix()
    return net, [parameters[name].data().asnumpy().astype("float64") for name in names]


def random_ratings(rng, batch, columns, values=(1, 2, 3, 4, 5)):
    rated = rng.random((batch, columns)) < 0.4
    return (rng.choice(values, (batch, columns)) * rated).astype("float32"), rated


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize(("batch", "columns", "hidden"), SHAPES)
def test_predictions_follow_the_formula(rng, batch, columns, hidden, hybridize):
    net, (V, mu, W, b) = random_net(columns, hidden, dropout=0.5, hybridize=hybridize)
    ratings, _ = random_ratings(rng, batch, columns)
    expected = sigmoid(ratings @ V.T + mu) @ W.T + b
    numpy.testing.assert_allclose(net(np.array(ratings)).asnumpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize("given_mask", [False, True])
@pytest.mark.parametrize(("batch", "columns", "hidden"), SHAPES)
def test_gradients_are_those_of_the_rated_cells(rng, batch, columns, hidden, hybridize, given_mask):
    net, (V, mu, W, b) = random_net(columns, hidden, hybridize=hybridize)
    values = (0, -2, 1, 5) if given_mask else (1, -2, 5)  # without a mask, 0 means unrated
    ratings, rated = random_ratings(rng, batch, columns, values)
    x = np.array(ratings)
    with autograd.record():
        output = net(x, np.array(rated.astype("float32"))) if given_mask else net(x)
        loss = ((output - x) ** 2).sum()
    loss.backward()

    code = sigmoid(ratings @ V.T + mu)
    masked = (code @ W.T + b) * rated
    error = 2 * (masked - ratings) * rated
    code_error = (error @ W) * code * (1 - code)
    expected = {
        net.encoder.weight: code_error.T @ ratings,
        net.encoder.bias: code_error.sum(axis=0),
        net.decoder.weight: error.T @ code,
        net.decoder.bias: error.sum(axis=0),
    }
    numpy.testing.assert_allclose(output.asnumpy(), masked, rtol=1e-4, atol=1e-4)
    for parameter, gradient in expected.items():
        numpy.testing.assert_allclose(
            parameter.grad().asnumpy(), gradient, rtol=1e-4, atol=1e-3, err_msg=parameter.name
        )


def test_unrated_cells_get_exactly_no_gradient(rng):
    net, _ = random_net(columns=6, hidden=4)
    ratings, _ = random_ratings(rng, 5, 6)
    ratings[:, 2] = 0  # a column that nobody rated
    x = np.array(ratings)
    with autograd.record():
        loss = ((net(x) - x) ** 2).sum()
    loss.backward()
    assert (net.decoder.weight.grad().asnumpy()[2] == 0).all()
    assert net.decoder.bias.grad().asnumpy()[2] == 0
    assert (net.encoder.weight.grad().asnumpy()[:, 2] == 0).all()
    assert (net.decoder.weight.grad().asnumpy()[0] != 0).any()


def test_dropout_is_for_training_alone(rng):
    net, _ = random_net(columns=6, hidden=50, dropout=0.5)
    x = np.array(random_ratings(rng, 5, 6)[0])
    numpy.testing.assert_array_equal(net(x).asnumpy(), net(x).asnumpy())
    with autograd.record():
        once, again = net(x).asnumpy(), net(x).asnumpy()
    assert (once != again).any()


def test_parameters_have_the_sections_names():
    net = AutoRec(500, 943)
    assert sorted(net._collect_params_with_prefix()) == [
        "decoder.bias",
        "decoder.weight",
        "encoder.bias",
        "encoder.weight",
    ]
