from dataclasses import astuple

import numpy
import pytest
from support import ROUNDING
from support.training import assert_same, fitted, learned, low_rank_ratings, weights

from autorec import AutoRec, Interactions, fit, random_split
from autorec._mxnet import mx
from autorec.errors import ConfigurationError, TrainingError


def test_training_beats_the_mean():
    # From Normal(0.01) a net this small does not leave the saddle at zero.
    history, _ = fitted(num_epochs=60, learning_rate=0.02, init=mx.init.Normal(0.3))
    values = low_rank_ratings().values
    assert history[-1].test_rmse < 0.8 * values.std()
    assert history[-1].train_rmse < history[0].train_rmse


# 60 items in batches of 16 leave a last batch of 12; of 59, a last batch of 1, fewer than devices.
@pytest.mark.parametrize("batch_size", [16, 59])
@pytest.mark.parametrize("count", [2, 3])
def test_the_devices_do_not_change_the_result(count, batch_size):
    one, expected = fitted([mx.cpu(0)], batch_size=batch_size)
    several, result = fitted([mx.cpu(i) for i in range(count)], batch_size=batch_size)
    assert_same(expected, result, 1e-5)
    for alone, shared in zip(one, several):
        assert shared.test_rmse == pytest.approx(alone.test_rmse, abs=1e-5)
        assert shared.train_rmse == pytest.approx(alone.train_rmse, abs=1e-5)


@pytest.mark.parametrize("count", [1, 2])
def test_equal_seeds_give_equal_bits(count):
    devices = [mx.cpu(i) for i in range(count)]
    one, expected = fitted(devices, dropout=0.3)
    again, result = fitted(devices, dropout=0.3)
    _, other = fitted(devices, dropout=0.3, seed=4)
    assert_same(expected, result, 0)
    assert [epoch.test_rmse for epoch in one] == [epoch.test_rmse for epoch in again]
    assert (other["encoder.weight"] != expected["encoder.weight"]).any()


def test_steps_and_decay_may_be_stated_for_any_number_of_ratings():
    train = Interactions.from_ratings(learned())
    rows, ratings = len(train.rated_rows()), len(train)
    _, expected = fitted(batch_size=-(-rows // 7), weight_decay=0.01 * (ratings / 1e5) ** 0.5)
    _, result = fitted(steps_per_epoch=7, weight_decay=0.01, decay_growth=0.5)
    assert_same(expected, result, 0)


def test_the_test_ratings_change_nothing_but_the_report():
    options = {"dropout": 0.3, "num_epochs": 6, "validate": True, "patience": 2}
    one, expected = fitted(**options)
    shifted, result = fitted(**options, shift=2.0)
    _, without = fitted(**options, test=False)
    assert_same(expected, result, 0)
    assert_same(expected, without, 0)
    assert one[-1].test_rmse != shifted[-1].test_rmse


def test_the_epoch_that_predicts_the_validation_ratings_best_is_kept():
    # A rate this high overshoots: the last epoch is not the best.
    options = {"num_epochs": 6, "learning_rate": 0.3, "validate": True}
    history, result = fitted(**options)
    scores = [epoch.validation_rmse for epoch in history]
    assert history.best.validation_rmse == min(scores) < scores[-1]
    _, expected = fitted(**{**options, "num_epochs": history.best.epoch})
    assert_same(expected, result, 0)


def test_patience_ends_the_run():
    options = {"learning_rate": 0.3, "validate": True}
    history, _ = fitted(**options, num_epochs=100, patience=3)
    assert len(history) == history.best.epoch + 3
    with pytest.raises(ConfigurationError, match="validation"):
        fitted(patience=3)


def test_the_learning_rate_is_lowered_after_each_epoch():
    # With a decay of 0 all epochs but the first stand still.
    _, expected = fitted(num_epochs=1)
    _, result = fitted(num_epochs=3, learning_rate_decay=0.0)
    assert_same(expected, result, 0)


@pytest.mark.parametrize("count", [1, 2])
def test_averaged_weights_are_the_fading_mean_of_each_epochs(count):
    devices = [mx.cpu(i) for i in range(count)]
    epochs = [fitted(devices, num_epochs=n)[1] for n in (1, 2, 3)]
    _, mean = fitted(devices, num_epochs=3, averaging=0.5)
    expected = {
        name: numpy.average([each[name] for each in epochs], axis=0, weights=[0.25, 0.5, 1])
        for name in mean
    }
    assert_same(expected, mean, 1e-6)
    with pytest.raises(ConfigurationError, match="averaging .* must be below 1, not 1.0"):
        fitted(averaging=1.0)


@pytest.mark.parametrize("compute", ["dense", "sparse"])
def test_the_decay_of_a_column_goes_by_its_ratings(compute):
    pytest.importorskip("numba")
    inputs = Interactions.from_ratings(learned())
    counts = numpy.bincount(inputs.matrix.indices)
    found = {}
    for decay in (0.0, 0.3):
        net = AutoRec(3, inputs.shape[1], 0.0)
        options = {"weight_decay": decay, "decay_power": 0.5, "decay_biases": False}
        start = {
            "encoder.weight": numpy.ones((3, inputs.shape[1])),
            "decoder.weight": numpy.ones((inputs.shape[1], 3)),
        }
        fit(net, inputs, num_epochs=1, batch_size=100, optimizer="sgd", learning_rate=0.1,
            start=start, contexts=[mx.cpu()], compute=compute, **options)  # fmt: skip
        found[decay] = weights(net)
    expected = 0.1 * 0.3 * (counts / counts.mean()) ** 0.5
    for name, axis in (("encoder.weight", 1), ("decoder.weight", 0)):
        fall = numpy.moveaxis(found[0.0][name] - found[0.3][name], axis, 0)
        numpy.testing.assert_allclose(fall, numpy.tile(expected[:, None], 3), atol=1e-6)


def test_the_losses_are_one_objective_in_two_scales():
    """The docstring's conversion: SGD takes the same steps where rate and decay are converted."""
    columns = low_rank_ratings().num_users
    options = {"optimizer": "sgd", "num_epochs": 3, "init": mx.init.Normal(0.3)}
    _, expected = fitted(loss="sum", learning_rate=1e-4, weight_decay=0.1, **options)
    _, result = fitted(
        loss="mean", learning_rate=2e-4 * columns, weight_decay=0.05 / columns, **options
    )
    assert_same(expected, result, 1e-5)


def test_the_biases_decay_by_choice():
    options = {"optimizer": "sgd", "learning_rate": 0.01, "weight_decay": 5.0}
    _, both = fitted(**options)
    _, weights_alone = fitted(**options, decay_biases=False)
    assert abs(both["decoder.bias"]).max() < 0.9 * abs(weights_alone["decoder.bias"]).max()


def test_training_starts_from_given_values():
    _, start = fitted()
    _, result = fitted(start=start, learning_rate=1e-30)
    assert_same(start, result, 0)


def test_an_unknown_loss_or_optimizer_is_refused():
    with pytest.raises(ConfigurationError, match="must be 'mean', 'sum', .* not 'both'"):
        fitted(loss="both")
    with pytest.raises(ConfigurationError, match="optimizer .* must be .*'adam', .* not 'magic'"):
        fitted(optimizer="magic")


def test_the_train_rmse_is_over_rated_cells():
    # With a learning rate of 0 the predictions stay those of the first weights, which are near 0.
    history, _ = fitted(learning_rate=1e-30)
    expected = numpy.sqrt((learned().values.astype("float64") ** 2).mean())
    assert history[0].train_rmse == pytest.approx(expected, rel=0.05)
    # The second epoch's batches have other rows.
    assert history[1].train_rmse == pytest.approx(history[0].train_rmse, rel=ROUNDING)


def test_one_step_of_sgd_follows_the_loss_by_hand():
    # All rows in one batch, plain SGD, no decay: the new decoder bias is known in closed form.
    train, _ = random_split(low_rank_ratings(), 0.1, seed=1)
    inputs = Interactions.from_ratings(train)
    rows = numpy.arange(inputs.shape[0])
    rated, dense = inputs.mask(rows), inputs.dense(rows)
    net = AutoRec(8, inputs.shape[1], dropout=0)
    fit(
        net,
        inputs,
        num_epochs=1,
        batch_size=len(rows),
        optimizer="sgd",
        learning_rate=1.0,
        weight_decay=0.0,
        init=mx.init.Constant(0.0),
        contexts=[mx.cpu()],
    )
    # Prediction 0 everywhere: d/db_u mean_i (1 / 2U) sum_u (b_u - r_iu)^2 = -mean_i r_iu / U.
    expected = (dense * rated).mean(axis=0) / inputs.shape[1]
    numpy.testing.assert_allclose(net.decoder.bias.data().asnumpy(), expected, rtol=1e-5)


def test_the_history_is_a_table_and_reaches_the_callback():
    seen = []
    history, _ = fitted(num_epochs=3, on_epoch=seen.append)
    assert list(history) == seen
    assert len(history) == 3
    table = history.frame()
    assert table.columns.tolist() == [
        "epoch", "train_rmse", "validation_rmse", "test_rmse", "seconds", "ratings_per_second",
        "rows_per_second",
    ]  # fmt: skip
    assert table["epoch"].tolist() == [1, 2, 3]
    numpy.testing.assert_allclose(
        table["ratings_per_second"] / table["rows_per_second"],
        len(learned()) / 60,
        rtol=1e-6,
    )
    assert all(len(astuple(epoch)) == 7 for epoch in seen)


def test_a_run_that_diverges_stops_with_the_epoch():
    with pytest.raises(TrainingError, match=r"epoch \d+; lower the learning rate"):
        fitted(num_epochs=60, optimizer="sgd", learning_rate=1e6)


def test_nothing_to_train_on_is_an_error():
    nothing = Interactions.from_ratings(low_rank_ratings().take(numpy.arange(0)))
    with pytest.raises(ConfigurationError, match="no ratings to train on"):
        fit(AutoRec(2, nothing.shape[1]), nothing)
