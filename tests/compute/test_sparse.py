"""The sparse way gives the numbers of the dense one."""

import itertools
import warnings

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import random as random_matrix

from autorec import AutoRec, Interactions, fit, predict_cells
from autorec._mxnet import autograd, gluon, mx, np
from autorec.compute import choice
from autorec.compute.choice import has_kernels, is_sparse
from autorec.compute.sparse import rated_cells
from autorec.data.scaling import Scaling
from autorec.errors import ConfigurationError
from autorec.training.settings import Settings
from autorec.training.sparse_steps import SparseSteps
from autorec.training.steps import DenseSteps

VARIANTS = {
    "section": {"dropout": 0.0},
    "relu, tanh": {"encoder_activation": "relu", "decoder_activation": "tanh", "scale": (1, 5)},
    "bounded decoder": {"decoder_activation": "sigmoid", "scale": (1, 5)},
    "normalised": {"typical_count": 4.0},
    "deep": {"num_hidden": (6, 3, 6)},
    "shifted to biases": {"unit": ("shifted", "biases"), "typical_count": 4.0},
    "residuals": {"unit": ("biases", "biases")},
    "raw to mean": {"unit": ("raw", "mean"), "decoder_activation": "tanh", "scale": (1, 5)},
    "centred to raw": {"unit": ("mean", "raw")},
}


@pytest.fixture(autouse=True, params=["kernels", "operators"])
def products(request, monkeypatch):
    """Each test runs with numba's kernels, and with MXNet's operators, as where there is none."""
    if request.param == "operators":
        monkeypatch.setattr("autorec.compute.choice.has_kernels", lambda: False)
    elif not has_kernels():
        pytest.skip("numba is not installed")
    return request.param


def whatever_comes(test):
    """Run a test on matrices with empty rows and columns, one rating a row, all cells rated."""
    sizes = {"rows": st.integers(1, 12), "columns": st.integers(1, 12)}
    density = st.sampled_from([0.0, 0.05, 0.3, 1.0])
    matrices = given(**sizes, density=density, seed=st.integers(0, 1000))
    return settings(max_examples=25, deadline=None, derandomize=True)(matrices(test))


def ratings(rows, columns, density, seed, lowest=1) -> Interactions:
    """A random matrix; with the lowest rating 0, cells rated 0 among the others."""
    rng = numpy.random.default_rng(seed)
    matrix = random_matrix(rows, columns, density, "csr", dtype=numpy.float32, random_state=rng)
    matrix.data[:] = rng.integers(lowest, 6, matrix.nnz)
    return Interactions(matrix)


def net_for(inputs, seed=0, num_hidden=5, count=1, unit=("raw", "raw"), **variant):
    mx.random.seed(seed)
    options = {"dropout": 0.0, "scaling": Scaling.learned(inputs, *unit), **variant}
    net = AutoRec(num_hidden, inputs.shape[1], **options)
    contexts = [mx.cpu(i) for i in range(count)]
    net.initialize(mx.init.Normal(0.5), ctx=contexts)
    for context in contexts:
        net(np.zeros((1, inputs.shape[1]), ctx=context))
    return net


def values(net):
    return {
        name: parameter.data(mx.cpu(0)).asnumpy()
        for name, parameter in net._collect_params_with_prefix().items()
    }


def after_steps(steps, net, inputs, batch_size, epochs=2):
    errors = []
    for _ in range(epochs):
        for rows in inputs.batches(batch_size):
            errors.append(sum(float(part.sum()) for part in steps.step(rows)))
    steps.write_back()
    return errors, values(net)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("lowest", [0, 1], ids=["rated 0 too", "all above 0"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("by_column", [False, True], ids=["one decay", "decay by column"])
def test_steps_are_those_of_whole_rows(variant, optimizer, lowest, count, by_column):
    inputs = ratings(23, 17, 0.3, seed=4, lowest=lowest)
    contexts = [mx.cpu(i) for i in range(count)]
    dense_net, sparse_net = (net_for(inputs, count=count, **VARIANTS[variant]) for _ in range(2))
    chosen = Settings(
        optimizer=optimizer,
        learning_rate=0.01,
        weight_decay=0.1 if by_column else 0.02,
        decay_power=1.0 if by_column else 0.0,
    )
    dense = DenseSteps(dense_net, inputs, chosen, contexts)
    sparse = SparseSteps(sparse_net, inputs, chosen, contexts)
    # The last batch has one row, fewer than there are devices.
    errors, expected = after_steps(dense, dense_net, inputs, batch_size=11)
    found, result = after_steps(sparse, sparse_net, inputs, batch_size=11)
    numpy.testing.assert_allclose(found, errors, rtol=1e-4)
    for name, weight in expected.items():
        numpy.testing.assert_allclose(result[name], weight, rtol=1e-3, atol=2e-5, err_msg=name)


@whatever_comes
def test_predictions_are_those_of_whole_rows(rows, columns, density, seed):
    inputs = ratings(rows, columns, density, seed)
    wanted = ratings(rows, columns, 0.5, seed + 1)
    unit = ("shifted", "biases") if seed % 2 and len(inputs) else ("raw", "raw")
    net = net_for(inputs, seed, unit=unit)
    dense, sparse = (
        predict_cells(net, inputs, wanted, [mx.cpu()], batch_size=5, compute=compute)
        for compute in ("dense", "sparse")
    )
    numpy.testing.assert_allclose(sparse, dense, rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_autograd():
    inputs = ratings(9, 14, 0.4, seed=2)
    dense_net, sparse_net = (net_for(inputs, decoder_activation="tanh", scale=(1, 5)) for _ in "12")
    rows = numpy.arange(9)
    row_batch = np.array(inputs.dense(rows))
    with autograd.record():
        loss = np.square(dense_net(row_batch) - row_batch).sum()
    loss.backward()
    chosen = Settings(loss="sum", optimizer="sgd", weight_decay=0.0)
    steps = SparseSteps(sparse_net, inputs, chosen, [mx.cpu()])
    steps.step(rows)
    for name, parameter in dense_net._collect_params_with_prefix().items():
        expected = parameter.grad(mx.cpu()).asnumpy()
        found = sparse_net._collect_params_with_prefix()[name].grad(mx.cpu()).asnumpy()
        numpy.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    "settings", [{"loss": "mean"}, {"loss": "sum", "weight_decay": 0.01, "decay_biases": False}]
)
def test_whole_runs_agree(settings):
    inputs, test = ratings(60, 40, 0.25, seed=1), ratings(60, 40, 0.1, seed=2)
    runs = []
    for compute in ("dense", "sparse"):
        net = AutoRec(8, 40, 0.0)
        options = {"compute": compute, "num_epochs": 5, "batch_size": 16, "learning_rate": 0.01}
        history = fit(
            net,
            inputs,
            validation=test,
            contexts=[mx.cpu()],
            **options,
            **settings,
        )
        runs.append([(each.train_rmse, each.validation_rmse) for each in history])
    numpy.testing.assert_allclose(runs[1], runs[0], atol=1e-4)


def test_dropped_ratings_still_count_in_the_loss():
    inputs = ratings(30, 20, 0.3, seed=5)
    net = net_for(inputs, input_dropout=0.9)
    steps = SparseSteps(net, inputs, Settings(), [mx.cpu()])
    (errors,) = steps.step(inputs.rated_rows())
    assert errors.shape == (len(inputs),)
    assert (errors.asnumpy() > 0).all()


def test_what_is_dropped_of_the_code_is_drawn_alike_both_ways():
    inputs, test = ratings(60, 40, 0.25, seed=1), ratings(60, 40, 0.1, seed=2)
    runs = []
    for compute in ("dense", "sparse"):
        net = AutoRec(8, 40, 0.3)
        options = {"compute": compute, "num_epochs": 4, "batch_size": 16, "learning_rate": 0.01}
        history = fit(net, inputs, test=test, contexts=[mx.cpu()], **options)
        runs.append([(each.train_rmse, each.test_rmse) for each in history])
    numpy.testing.assert_allclose(runs[1], runs[0], atol=1e-4)


def test_what_is_dropped_of_the_input_is_drawn_otherwise_but_as_often():
    inputs = ratings(60, 40, 0.25, seed=1)
    found = []
    for kind in (DenseSteps, SparseSteps):
        net = net_for(inputs, input_dropout=0.4)
        mx.random.seed(7)
        chosen = Settings(loss="sum", optimizer="sgd", learning_rate=1e-30, weight_decay=0.0)
        steps = kind(net, inputs, chosen, [mx.cpu()])  # which learns nothing
        errors = [float(steps.step(inputs.rated_rows())[0].sum()) for _ in range(200)]
        found.append((errors[0], numpy.mean(errors), numpy.std(errors) / 200**0.5))
    (first, mean, error), (other, other_mean, other_error) = found
    assert abs(first - other) > 1e-4 * first
    assert abs(mean - other_mean) < 4 * (error**2 + other_error**2) ** 0.5
    assert error == pytest.approx(other_error, rel=0.3)  # the spread has itself an error of 5 %


def test_equal_seeds_give_equal_bits():
    inputs = ratings(60, 40, 0.2, seed=1)
    found = []
    for _ in range(2):
        net = AutoRec(8, 40, 0.3, input_dropout=0.2)
        fit(net, inputs, contexts=[mx.cpu()], compute="sparse", seed=7, num_epochs=2)
        found.append(values(net))
    for name in found[0]:
        numpy.testing.assert_array_equal(found[0][name], found[1][name])


@whatever_comes
def test_products_are_scipys(rows, columns, density, seed):
    rng = numpy.random.default_rng(seed)
    matrix = ratings(rows, columns, density, seed, lowest=0).matrix
    cells = rated_cells(matrix, mx.cpu())
    weight, code, bias, values = (
        rng.standard_normal(shape).astype(numpy.float32)
        for shape in [(columns, 7), (rows, 7), columns, matrix.nnz]
    )
    matrix = matrix.copy()
    matrix.data[:] = values
    own_values, own_code = (cells.own(np.array(each)) for each in (values, code))
    found = cells.product(own_values, cells.weight(np.array(weight)))
    numpy.testing.assert_allclose(found.asnumpy(), matrix @ weight, rtol=1e-4, atol=1e-5)
    found = cells.gradient(own_values, own_code)
    numpy.testing.assert_allclose(np.array(found).asnumpy(), matrix.T @ code, rtol=1e-4, atol=1e-5)
    found = cells.total(own_code)
    numpy.testing.assert_allclose(np.array(found).asnumpy(), code.sum(axis=0), rtol=1e-4, atol=1e-5)
    found = cells.at(own_code, cells.weight(np.array(weight)), np.array(bias))
    row, column = matrix.tocoo().row, matrix.tocoo().col
    expected = (code @ weight.T + bias)[row, column]
    numpy.testing.assert_allclose(found.asnumpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_run_that_nobody_watches_ends_in_the_same_bits():
    inputs = ratings(60, 40, 0.2, seed=1)
    found = []
    for watch in (None, lambda epoch: None):
        net = AutoRec(8, 40, 0.3)
        fit(net, inputs, contexts=[mx.cpu()], compute="sparse", num_epochs=3, on_epoch=watch)
        found.append(values(net))
    for name in found[0]:
        numpy.testing.assert_array_equal(found[0][name], found[1][name])


def test_the_net_has_what_was_learned_until_ctrl_c(monkeypatch):
    inputs = ratings(60, 40, 0.2, seed=1)

    def until_the_fifth(sums, number):
        if next(steps) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr("autorec.training.loop.EpochSums.check", until_the_fifth)
    found = []
    for compute in ("dense", "sparse"):
        net, steps = AutoRec(8, 40, 0.0), itertools.count(1)
        with pytest.raises(KeyboardInterrupt):
            fit(net, inputs, contexts=[mx.cpu()], compute=compute, num_epochs=3, batch_size=20)
        found.append(values(net))
    for name in found[0]:
        numpy.testing.assert_allclose(found[1][name], found[0][name], rtol=1e-3, atol=1e-5)
    numpy.testing.assert_array_less(1e-4, abs(found[0]["decoder.bias"]).max())


def test_the_way_is_chosen_by_density_and_device(products):
    narrow, wide = AutoRec(3, 20), AutoRec(3, 200_000)
    low, lower = (0.2, 0.12) if products == "kernels" else (0.0, 0.008)
    for net, columns, density in ((narrow, 20, low), (wide, 200_000, lower)):
        assert is_sparse("auto", net, ratings(20, columns, density, seed=0), [mx.cpu()])
        assert not is_sparse("auto", net, ratings(20, columns, density + 0.1, seed=0), [mx.cpu()])
    few, full = ratings(20, 200_000, 0.001, seed=0), ratings(20, 200_000, 0.5, seed=0)
    both = [mx.cpu(0), mx.cpu(1)]
    assert is_sparse("auto", wide, few, both) == (products == "kernels")
    assert not is_sparse("auto", wide, ratings(20, 200_000, 0.05, seed=0), both)
    assert not is_sparse("auto", wide, few, [mx.gpu(0)])
    assert not is_sparse("auto", gluon.nn.Dense(200_000), few, [mx.cpu()])
    for contexts in ([mx.cpu(0), mx.cpu(1)], [mx.gpu(0)]):
        assert is_sparse("sparse", wide, full, contexts)
    assert not is_sparse("dense", wide, few, [mx.cpu()])


def test_what_cannot_be_had_is_refused():
    inputs = ratings(20, 20, 0.1, seed=0)
    with pytest.raises(ConfigurationError, match="not 'sprase'"):
        is_sparse("sprase", AutoRec(3, 20), inputs, [mx.cpu()])
    with pytest.raises(ConfigurationError, match="only the layers of AutoRec"):
        is_sparse("sparse", gluon.nn.Dense(20), inputs, [mx.cpu()])


def test_where_numba_is_missing_it_is_said_once(products):
    inputs = ratings(20, 20, 0.1, seed=0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        choice._recommend_numba.cache_clear()
        fit(AutoRec(3, 20), inputs, test=inputs, contexts=[mx.cpu()], num_epochs=2)
    found = ["pip install numba" in str(each.message) for each in said]
    assert found == ([] if products == "kernels" else [True])
