"""The section's names against d2l 1.0.3 itself, on MovieLens-100K."""

import math

import matplotlib
import numpy
import pandas as pd
import pytest

import autorec
from autorec._mxnet import gluon, mx, np

pytest.importorskip("d2l", reason="d2l is not installed: make oracle")
matplotlib.use("Agg")

NUM_USERS, NUM_ITEMS = 943, 1682


@pytest.fixture(scope="module")
def d2l():
    from d2l import mxnet

    return mxnet


@pytest.fixture(scope="module")
def data(ml_100k):
    return autorec.read_data_ml100k()[0]


@pytest.fixture(scope="module")
def split(data):
    mx.random.seed(7)
    return autorec.split_data_ml100k(data, NUM_USERS, NUM_ITEMS)


@pytest.fixture(scope="module")
def loaded(split):
    return [autorec.load_data_ml100k(part, NUM_USERS, NUM_ITEMS) for part in split]


def test_the_same_table_is_read(d2l, ml_100k, data, monkeypatch):
    monkeypatch.setattr(d2l.d2l, "download_extract", lambda name: str(ml_100k))
    expected = d2l.read_data_ml100k()
    pd.testing.assert_frame_equal(data, expected[0])
    assert expected[1:] == (NUM_USERS, NUM_ITEMS)


def test_equal_seeds_give_the_same_random_split(d2l, data, split):
    mx.random.seed(7)
    for ours, theirs in zip(split, d2l.split_data_ml100k(data, NUM_USERS, NUM_ITEMS)):
        pd.testing.assert_frame_equal(ours, theirs)


def test_the_same_last_ratings_are_held_out(d2l, data):
    # d2l looks every rating up in a list, so a tenth of the users keeps this quick.
    some = data[data.user_id <= 94]
    for ours, theirs in zip(
        autorec.split_data_ml100k(some, 94, NUM_ITEMS, "seq-aware"),
        d2l.split_data_ml100k(some, 94, NUM_ITEMS, "seq-aware"),
    ):
        numpy.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("part", [0, 1], ids=["train", "test"])
def test_the_same_lists_and_matrix_are_loaded(d2l, split, loaded, part):
    users, items, scores, inter = d2l.load_data_ml100k(split[part], NUM_USERS, NUM_ITEMS)
    assert loaded[part][:3] == (users, items, scores)
    numpy.testing.assert_array_equal(loaded[part][3].asnumpy(), inter.asnumpy())
    assert loaded[part][3].dtype == inter.dtype


def test_the_same_implicit_feedback_is_loaded(d2l, split):
    arguments = (split[1], NUM_USERS, NUM_ITEMS, "implicit")
    assert autorec.load_data_ml100k(*arguments) == d2l.load_data_ml100k(*arguments)


def rmse_row_by_row(network, rows, test_data, devices):
    """RMSE by the section's definition, one item after the other."""
    total = count = 0.0
    predictions = [row for batch in rows for row in network(batch).asnumpy()]
    for predicted, rated in zip(predictions, test_data.asnumpy()):
        total += float(((rated - numpy.sign(rated) * predicted) ** 2).sum())
        count += float(numpy.sign(rated).sum())
    return math.sqrt(total / count)


def train(library, loaded, evaluator):
    """Five epochs of the section's job; returns the test RMSE of each."""
    numpy.random.seed(0)
    mx.random.seed(0)
    scores = []

    def recorded(*arguments):
        scores.append(evaluator(*arguments))
        return scores[-1]

    (*_, train_matrix), (*_, test_matrix) = loaded
    train_iter = gluon.data.DataLoader(train_matrix, 256, shuffle=True, last_batch="rollover")
    test_iter = gluon.data.DataLoader(np.array(train_matrix), 1024, last_batch="keep")
    devices = [mx.cpu()]
    net = autorec.AutoRec(500, NUM_USERS)
    net.initialize(mx.init.Normal(0.01), ctx=devices, force_reinit=True)
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.002, "wd": 1e-5})
    library.train_recsys_rating(
        net, train_iter, test_iter, gluon.loss.L2Loss(), trainer, 5, devices, recorded,
        inter_mat=test_matrix,
    )  # fmt: skip
    return scores


def test_training_gives_d2ls_test_rmse_in_each_epoch(d2l, loaded):
    expected = train(d2l, loaded, rmse_row_by_row)
    result = train(autorec, loaded, autorec.evaluator)
    assert len(result) == 5
    numpy.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


def test_try_all_gpus_differs_from_d2ls_where_there_is_none(d2l):
    assert autorec.try_all_gpus() == (d2l.try_all_gpus() or [mx.cpu()])
