"""The section's names, on small data; tests/test_oracle.py compares them with d2l itself."""

import inspect

import numpy
import pandas as pd
import pytest
from support import ROUNDING

import autorec
from autorec import section
from autorec._mxnet import gluon, mx, nn, np
from autorec.errors import ConfigurationError, RatingsError

COLUMNS = ["user_id", "item_id", "rating", "timestamp"]


def table(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS)


def test_every_name_of_the_section_is_importable_from_autorec():
    for name in section.__all__:
        assert getattr(autorec, name) is getattr(section, name)
        assert name in autorec.__all__


def test_the_loader_keeps_halves_and_order():
    data = table((2, 3, 4.5, 0), (1, 1, 0.5, 0), (2, 1, 3.0, 0))
    users, items, scores, inter = autorec.load_data_ml100k(data, num_users=2, num_items=3)
    assert (users, items, scores) == ([1, 0, 1], [2, 0, 0], [4.5, 0.5, 3.0])
    assert isinstance(inter, np.ndarray)
    numpy.testing.assert_array_equal(inter.asnumpy(), [[0.5, 3.0], [0, 0], [0, 4.5]])


def test_the_loader_gives_each_users_items_for_implicit_feedback():
    data = table((2, 3, 4, 0), (1, 1, 5, 0), (2, 1, 3, 0))
    *_, scores, seen = autorec.load_data_ml100k(data, 2, 3, feedback="implicit")
    assert scores == [1, 1, 1]
    assert seen == {1: [2, 0], 0: [0]}


@pytest.mark.parametrize(("user", "item"), [(0, 1), (3, 1), (1, 4)])
def test_the_loader_refuses_ids_outside_the_range(user, item):
    with pytest.raises(RatingsError, match=r"not in 1\.\."):
        autorec.load_data_ml100k(table((user, item, 3, 0)), num_users=2, num_items=3)


def test_the_random_split_is_mxnets_and_reproducible():
    data = table(*((u, u, 3, u) for u in range(1, 201)))
    mx.random.seed(1)
    train, test = autorec.split_data_ml100k(data, 200, 200, test_ratio=0.3)
    mx.random.seed(1)
    again, _ = autorec.split_data_ml100k(data, 200, 200, test_ratio=0.3)
    pd.testing.assert_frame_equal(pd.concat([train, test]).sort_index(), data)
    pd.testing.assert_frame_equal(train, again)
    assert 30 < len(test) < 90


def test_the_seq_aware_split_holds_out_each_users_last_rating():
    data = table((2, 1, 3, 30), (1, 1, 4, 20), (2, 2, 5, 10), (1, 2, 2, 20), (1, 3, 1, 5))
    train, test = autorec.split_data_ml100k(data, 2, 3, "seq-aware")
    # Of user 1's two ratings at time 20 the first in the table counts as the last, as in d2l.
    assert test.values.tolist() == [[2, 1, 3, 30], [1, 1, 4, 20]]
    assert train.values.tolist() == [[1, 3, 1, 5], [1, 2, 2, 20], [2, 2, 5, 10]]


def test_wrong_modes_are_refused():
    with pytest.raises(ConfigurationError, match="split_mode"):
        autorec.split_data_ml100k(table((1, 1, 1, 1)), 1, 1, "by-time")
    with pytest.raises(ConfigurationError, match="feedback"):
        autorec.load_data_ml100k(table((1, 1, 1, 1)), 1, 1, "both")


class Same(nn.Block):
    """Predicts its input plus one."""

    def forward(self, rows):
        return rows + 1


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [2, 3, 7])
def test_the_evaluator_is_numpys_rmse(rng, batch_size, count):
    rows = rng.integers(0, 6, (7, 5)).astype("float32")
    truth = rng.integers(-1, 6, (7, 5)).astype("float32")
    batches = [np.array(rows[i : i + batch_size]) for i in range(0, 7, batch_size)]
    devices = [mx.cpu(i) for i in range(count)]
    expected = numpy.sqrt(((rows + 1 - truth)[truth != 0] ** 2).mean())
    found = autorec.evaluator(Same(), batches, np.array(truth), devices)
    assert found == pytest.approx(expected, rel=ROUNDING)


def test_the_evaluator_needs_a_rating():
    with pytest.raises(ConfigurationError, match="no rating"):
        autorec.evaluator(Same(), [np.ones((2, 2))], np.zeros((2, 2)), [mx.cpu()])


class Factors(nn.Block):
    """Matrix factorisation, a model of (user, item) pairs."""

    def __init__(self, size, users, items):
        super().__init__()
        self.user, self.item = nn.Embedding(users, size), nn.Embedding(items, size)

    def forward(self, users, items):
        return (self.user(users) * self.item(items)).sum(axis=1)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_model_of_pairs_is_trained_without_inter_mat(rng, capsys, count):
    devices = [mx.cpu(i) for i in range(count)]
    truth = numpy.outer([1, 2, 3, 4], [1.0, 0.5, 1.5])
    users, items = (array.ravel() for array in numpy.indices(truth.shape))
    data = gluon.data.ArrayDataset(
        np.array(users), np.array(items), np.array(truth.ravel().astype("float32"))
    )
    batches = gluon.data.DataLoader(data, batch_size=5, shuffle=True)  # the last has 2 rows
    net = Factors(2, 4, 3)
    net.initialize(mx.init.Normal(0.5), ctx=devices)
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.05})
    history = autorec.train_recsys_rating(
        net, batches, batches, gluon.loss.L2Loss(), trainer, 60, devices
    )
    assert history[-1].test_rmse < 0.1
    assert history[-1].train_rmse < 0.2
    assert f"test RMSE {history[-1].test_rmse:.3f}" in capsys.readouterr().out


def test_rows_are_trained_with_inter_mat(rng, capsys):
    rows = np.array(rng.integers(0, 6, (9, 4)).astype("float32"))
    batches = [rows[:5], rows[5:]]
    net = autorec.AutoRec(3, 4)
    net.initialize(mx.init.Normal(0.1))
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.0})
    seen = []
    history = autorec.train_recsys_rating(
        net, batches, batches, gluon.loss.L2Loss(), trainer, 2,
        inter_mat=rows, on_epoch=seen.append,
    )  # fmt: skip
    assert seen == list(history)
    # Nothing is learned at a rate of 0, so train and test RMSE differ by the dropout alone.
    assert history[-1].train_rmse == pytest.approx(history[-1].test_rmse, rel=0.05)
    captured = capsys.readouterr()
    assert "ratings/s" in captured.out
    assert "2/2" in captured.err


def test_an_evaluator_of_the_users_is_called_as_in_d2l():
    calls = []

    def record(*arguments):
        calls.append(arguments)
        return 1.5

    net = autorec.AutoRec(3, 4)
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    batches, inter_mat = [np.ones((2, 4))], np.ones((2, 4))
    devices = [mx.cpu()]
    history = autorec.train_recsys_rating(
        net, batches, "test", gluon.loss.L2Loss(), trainer, 1, devices, record, inter_mat=inter_mat
    )
    assert history[0].test_rmse == 1.5
    assert calls == [(net, "test", inter_mat, devices)]


def test_signatures_begin_as_the_sections_do():
    expected = {
        "evaluator": ["network", "inter_matrix", "test_data", "devices"],
        "read_data_ml100k": [],
        "split_data_ml100k": ["data", "num_users", "num_items", "split_mode", "test_ratio"],
        "load_data_ml100k": ["data", "num_users", "num_items", "feedback"],
        "train_recsys_rating": [
            "net", "train_iter", "test_iter", "loss", "trainer", "num_epochs", "devices",
            "evaluator", "inter_mat",
        ],
        "get_dataloader_workers": [],
        "try_all_gpus": [],
    }  # fmt: skip
    for name, parameters in expected.items():
        signature = inspect.signature(getattr(autorec, name))
        assert list(signature.parameters)[: len(parameters)] == parameters
