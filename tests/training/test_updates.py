"""Lazy updates: a step leaves alone what no rating of its batch touches, as MXNet's Adam does."""

import numpy
import pytest
from scipy.sparse import random as random_matrix
from support.training import assert_same, low_rank_ratings, stopped, trained

from autorec import AutoRec, Interactions, fit
from autorec._mxnet import autograd, mx, np
from autorec.compute import choice
from autorec.distributed.workers import Workers
from autorec.errors import ConfigurationError
from autorec.recommender.presets import PRESETS, preset_parameters
from autorec.training.checkpoints import Checkpoints
from autorec.training.settings import Settings
from autorec.training.sparse_steps import SparseSteps, is_lazy

pytest.importorskip("numba")

LAZY = Settings(
    compute="sparse", updates="lazy", loss="sum", batch_size=4, learning_rate=0.01, weight_decay=0.1
)


def thin(rng, rows=40, columns=30, density=0.03) -> Interactions:
    """Ratings of which a batch has few, and some columns none."""
    matrix = random_matrix(rows, columns, density, "csr", numpy.float32, random_state=rng)
    matrix.data[:] = rng.integers(1, 6, matrix.nnz)
    return Interactions(matrix)


def new_net(inputs, seed=0) -> AutoRec:
    mx.random.seed(seed)
    net = AutoRec(5, inputs.shape[1], 0.0)
    net.initialize(mx.init.Normal(0.5))
    net(np.zeros((1, inputs.shape[1])))
    return net


def matrices(net):
    """The two large matrices, a line for each column."""
    return net.layers[0].weight.data().asnumpy().T, net.decoder.weight.data().asnumpy()


class ByMXNet:
    """Steps with MXNet's gradients of whole rows, given to its lazy Adam as sparse ones."""

    def __init__(self, net, inputs, settings):
        self.net, self.inputs = net, inputs
        rate, decay = settings.learning_rate, settings.weight_decay
        optimizer = mx.optimizer.Adam(learning_rate=rate, wd=decay, lazy_update=True)
        self.updater = mx.optimizer.get_updater(optimizer)
        self.lines = [mx.nd.array(each).tostype("row_sparse") for each in matrices(net)]

    def step(self, rows):
        net, ratings = self.net, np.array(self.inputs.dense(rows))
        with autograd.record():
            loss = (np.square(net(ratings) - ratings) * np.sign(ratings)).sum()
        loss.backward()
        self.updater.optimizer.rescale_grad = 1 / len(rows)
        touched = numpy.unique(self.inputs.matrix[rows].indices)
        encoder, decoder = net.layers[0].weight, net.decoder.weight
        for index, gradient in enumerate((encoder.grad().T, decoder.grad())):
            parts = gradient.asnumpy()[touched], touched
            sparse = mx.nd.sparse.row_sparse_array(parts, shape=gradient.shape)
            self.updater(index, sparse, self.lines[index])
        encoder.set_data(np.array(self.lines[0].asnumpy().T))
        decoder.set_data(np.array(self.lines[1].asnumpy()))
        for index, bias in enumerate((net.layers[0].bias, net.decoder.bias), 2):
            self.updater(index, bias.grad().as_nd_ndarray(), bias.data().as_nd_ndarray())


def test_fifty_steps_are_those_of_mxnets_lazy_adam(rng):
    inputs = thin(rng)
    ours, theirs = new_net(inputs), new_net(inputs)
    mine, oracle = SparseSteps(ours, inputs, LAZY, [mx.cpu()]), ByMXNet(theirs, inputs, LAZY)
    for _ in range(50):
        rows = rng.choice(inputs.rated_rows(), 4, replace=False)
        mine.step(rows)
        oracle.step(rows)
    mine.write_back()
    for found, expected in zip(matrices(ours), matrices(theirs)):
        numpy.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    for each in ("encoder", "decoder"):
        found, expected = (getattr(net, each).bias.data().asnumpy() for net in (ours, theirs))
        numpy.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("update", ["lazy", "exact"])
def test_columns_without_ratings_keep_their_weights_only_where_updates_are_lazy(rng, update):
    inputs = thin(rng)
    start = {
        name: each.data() for name, each in new_net(inputs)._collect_params_with_prefix().items()
    }
    net = AutoRec(5, inputs.shape[1], 0.0)
    fit(net, inputs, LAZY, updates=update, num_epochs=2, start=start, contexts=[mx.cpu()])
    rated = inputs.rated_columns()
    assert 0 < rated.sum() < len(rated)
    before = start["encoder.weight"].asnumpy().T, start["decoder.weight"].asnumpy()
    for first, last in zip(before, matrices(net)):
        moved = (first != last).any(axis=1)
        assert moved[rated].all()
        assert moved[~rated].all() == (update == "exact")
        assert moved[~rated].any() == (update == "exact")


def test_where_every_step_touches_every_column_both_are_the_same(rng):
    inputs = thin(rng, 30, 6, 1.0)
    found = []
    for update in ("lazy", "exact"):
        net = AutoRec(5, inputs.shape[1], 0.0)
        fit(net, inputs, LAZY, updates=update, num_epochs=2, contexts=[mx.cpu()])
        found.append(matrices(net))
    for lazy, exact in zip(*found):
        numpy.testing.assert_array_equal(lazy, exact)


def test_a_resumed_lazy_run_ends_in_the_same_bits_and_is_not_resumed_exactly(tmp_path):
    settings = {"compute": "sparse", "updates": "lazy"}
    history, expected = trained(**settings)
    stopped(Checkpoints(tmp_path), 2, **settings)
    with pytest.raises(ConfigurationError, match="updates lazy, not "):
        trained(Checkpoints(tmp_path), True, compute="sparse")
    resumed, result = trained(Checkpoints(tmp_path), True, **settings)
    assert resumed == history
    assert_same(expected, result, 0)


def test_updates_are_lazy_by_themselves_where_steps_touch_few_columns(rng):
    def chosen(inputs, update="auto", count=1, **changes):
        settings = Settings(updates=update, **{"compute": "sparse", "batch_size": 4, **changes})
        return is_lazy(settings, inputs, [mx.cpu(i) for i in range(count)], Workers())

    inputs = thin(rng, 200, 300, 0.01)
    touched = [len(set(inputs.matrix[rows].indices)) for rows in inputs.batches(4)]
    share = numpy.mean(touched) / inputs.rated_columns().sum()
    assert choice.touched_share(inputs, 4) == pytest.approx(share, rel=0.1)
    assert share < choice.RARE
    assert chosen(inputs)
    assert not chosen(inputs, "exact")
    assert not chosen(inputs, batch_size=100)
    assert not chosen(Interactions.from_ratings(low_rank_ratings()))
    for change in ({"compute": "dense"}, {"optimizer": "sgd"}, {"count": 2}):
        assert not chosen(inputs, **change)
        with pytest.raises(ConfigurationError, match="updates='lazy' is for Adam"):
            chosen(inputs, "lazy", **change)


def test_the_presets_are_exact():
    assert {preset_parameters(name).updates for name in PRESETS} == {"exact"}
