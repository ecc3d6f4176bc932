"""AutoRec against plain NumPy: outputs, mask and gradients."""

import numpy
import pytest
from support import ROUNDING

from autorec import AutoRec
from autorec._mxnet import autograd, mx, nn, np
from autorec.errors import ConfigurationError

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


@pytest.mark.parametrize("given_mask", [False, True])
def test_rows_are_normalised_to_the_typical_number_of_ratings(rng, given_mask):
    net, (V, mu, W, b) = random_net(columns=9, hidden=4)
    net.typical_count = 2.5
    values = (0, 1, 5) if given_mask else (1, 5)
    ratings, rated = random_ratings(rng, 6, 9, values)
    ratings[0] = rated[0] = 0  # a row without ratings has nothing to be scaled
    scaled = ratings * numpy.sqrt(2.5 / numpy.maximum(rated.sum(axis=1, keepdims=True), 1))
    expected = sigmoid(scaled @ V.T + mu) @ W.T + b
    mask = [np.array(rated.astype("float32"))] if given_mask else []
    found = net(np.array(ratings), *mask).asnumpy()
    numpy.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize("given_mask", [False, True])
@pytest.mark.parametrize(("batch", "columns", "hidden"), SHAPES)
def test_gradients_are_those_of_the_rated_cells(rng, batch, columns, hidden, hybridize, given_mask):
    net, (V, mu, W, b) = random_net(columns, hidden, hybridize=hybridize)
    values = (0, -2, 1, 5) if given_mask else (1, 2, 5)  # without a mask, 0 means unrated
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


def test_the_output_is_multiplied_by_the_sign_of_the_input_while_training(rng):
    net, _ = random_net(columns=6, hidden=4)
    x = np.array([[0.0, 0.5, 5.0, -2.0, 0.0, 1.0]])
    with autograd.record():
        masked = net(x)
    expected = net(x).asnumpy() * [[0, 1, 1, -1, 0, 1]]
    numpy.testing.assert_allclose(masked.asnumpy(), expected, rtol=ROUNDING, atol=ROUNDING)


ACTIVATIONS = {
    "identity": lambda x: x,
    "sigmoid": sigmoid,
    "tanh": numpy.tanh,
    "relu": lambda x: numpy.maximum(x, 0),
    "softrelu": lambda x: numpy.log1p(numpy.exp(x)),
    "softsign": lambda x: x / (1 + abs(x)),
}
# What takes the range of a bounded decoder to the scale 1 to 5.
STRETCHED = {
    "sigmoid": lambda y: 1 + 4 * y,
    "tanh": lambda y: 3 + 2 * y,
    "softsign": lambda y: 3 + 2 * y,
}


@pytest.mark.parametrize("encoder", ACTIVATIONS)
@pytest.mark.parametrize("decoder", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [4, (4, 2, 3)])
def test_deep_nets_and_other_activations_follow_the_formula(rng, encoder, decoder, hidden):
    net = AutoRec(
        hidden, 6, encoder_activation=encoder, decoder_activation=decoder, scale=(1.0, 5.0)
    )
    net.initialize(mx.init.Normal(0.3))
    ratings, _ = random_ratings(rng, 5, 6)
    output = net(np.array(ratings)).asnumpy()
    code = ratings
    for layer in [net.encoder] if hidden == 4 else net.encoder:
        code = code @ layer.weight.data().asnumpy().T + layer.bias.data().asnumpy()
        code = ACTIVATIONS[encoder](code)
    expected = code @ net.decoder.weight.data().asnumpy().T + net.decoder.bias.data().asnumpy()
    expected = STRETCHED.get(decoder, lambda y: y)(ACTIVATIONS[decoder](expected))
    numpy.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


def test_dropped_ratings_still_count_in_the_loss(rng):
    net = AutoRec(4, 6, dropout=0.0, input_dropout=0.9)
    net.initialize(mx.init.Normal(0.3))
    ratings, rated = random_ratings(rng, 50, 6)
    with autograd.record():
        output = net(np.array(ratings)).asnumpy()
    assert ((output != 0) == rated).all()
    assert (output != net(np.array(ratings)).asnumpy())[rated].any()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"encoder_activation": "magic"}, "no activation 'magic'; choose one of identity, relu"),
        ({"decoder_activation": "sigmoid"}, "sigmoid is bounded; give the scale"),
        ({"num_hidden": []}, "needs a hidden layer"),
        ({"num_hidden": 2**29}, "layer of 4 by 536,870,912 is larger than MXNet's largest array"),
        ({"num_hidden": (2**16, 2**15)}, "layer of 65,536 by 32,768 is larger"),
        ({"num_hidden": 10**30}, "take fewer hidden units"),
    ],
)
def test_a_model_that_cannot_be_is_refused(options, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        AutoRec(**{"num_hidden": 3, "num_users": 4, **options})


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


class SectionAutoRec(nn.Block):
    """The class that the section's reader writes, in its parts: what its files hold."""

    def __init__(self, num_hidden, num_users, dropout=0.05):
        super().__init__()
        self.encoder = nn.Dense(num_hidden, activation="sigmoid", use_bias=True)
        self.decoder = nn.Dense(num_users, use_bias=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, rows):
        return self.decoder(self.dropout(self.encoder(rows)))


def test_a_file_saved_from_the_sections_class_is_loaded(rng, tmp_path):
    theirs, x = SectionAutoRec(5, 6), np.array(random_ratings(rng, 3, 6)[0])
    theirs.initialize(mx.init.Normal(0.3))
    expected = theirs(x)
    theirs.save_parameters(str(tmp_path / "net.params"))
    ours = AutoRec(5, 6)
    ours.load_parameters(str(tmp_path / "net.params"))
    numpy.testing.assert_allclose(
        ours(x).asnumpy(), expected.asnumpy(), rtol=ROUNDING, atol=ROUNDING
    )
    assert sorted(mx.npx.load(str(tmp_path / "net.params"))) == [
        "decoder.bias",
        "decoder.weight",
        "encoder.bias",
        "encoder.weight",
    ]


@pytest.mark.parametrize("hybridize", [False, True])
def test_every_context_gives_the_same(rng, hybridize):
    devices = [mx.cpu(0), mx.cpu(1), mx.cpu(2)]
    net = AutoRec(5, 6, dropout=0)
    net.initialize(mx.init.Normal(0.3), ctx=devices)
    if hybridize:
        net.hybridize()
    ratings, rated = random_ratings(rng, 3, 6)
    for training in (False, True, False):
        with autograd.record(training):
            outputs = [net(np.array(ratings, ctx=device)).asnumpy() for device in devices]
        for output in outputs:
            numpy.testing.assert_allclose(output, outputs[0], rtol=ROUNDING, atol=ROUNDING)
            assert (output[~rated] == 0).all() == training
