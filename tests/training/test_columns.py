"""Workers that own columns, in one process: threads instead of processes, a sum instead of servers.

tests/processes/test_column_jobs.py has the same over MXNet's servers.
"""

import shutil
from functools import partial

import numpy
import pytest
from scipy.sparse import csr_matrix
from support.columns import CASES, joined, together, trained
from support.training import StopError, assert_same, weights

from autorec import AutoRec, Interactions
from autorec._mxnet import mx, np
from autorec.distributed.columns import Columns, owners
from autorec.errors import ConfigurationError, DataCorruptError
from autorec.training.checkpoints import Checkpoints
from autorec.training.column_checkpoints import part_of
from autorec.training.settings import Settings
from autorec.training.sparse_steps import SparseSteps


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("case", CASES)
def test_workers_that_own_columns_are_one_process(case, count):
    history, expected, _ = trained(**CASES[case])
    found = together(count, lambda workers: trained(workers, **CASES[case]))
    assert sum(len(own) for _, _, own in found) == len(expected["decoder.bias"])
    for other, _, _ in found:
        assert len(other) == len(history)
        for one, epoch in zip(history, other):
            assert one == pytest.approx(epoch, abs=1e-4)
    assert_same(expected, joined(found), 1e-3)


def test_a_step_of_two_owners_is_the_papers_gradient(rng):
    """Equation 2 by hand: plain NumPy, one step of gradient descent on a batch of three items."""
    ratings = rng.integers(1, 6, (5, 7)) * (rng.random((5, 7)) < 0.6)
    encoder, decoder = rng.normal(0, 0.3, (4, 7)), rng.normal(0, 0.3, (7, 4))
    mu, bias = rng.normal(size=4), rng.normal(size=7)
    batch, rate = numpy.array([3, 0, 4]), 0.1
    rows = ratings[batch]
    code = 1 / (1 + numpy.exp(-(rows @ encoder.T + mu)))
    errors = (code @ decoder.T + bias - rows) * (rows > 0)
    back = 2 * errors @ decoder * code * (1 - code)
    expected = {
        "encoder.weight": encoder - rate / 3 * back.T @ rows,
        "encoder.bias": mu - rate / 3 * back.sum(axis=0),
        "decoder.weight": decoder - rate / 3 * 2 * errors.T @ code,
        "decoder.bias": bias - rate / 3 * 2 * errors.sum(axis=0),
    }

    def step(workers):
        own = numpy.arange(7)[workers.rank :: 2]
        part = Interactions(csr_matrix(ratings[:, own].astype("float32")))
        net = AutoRec(4, len(own), 0.0)
        net.initialize()
        net(np.zeros((1, len(own))))
        net.encoder.weight.set_data(np.array(encoder[:, own]))
        net.encoder.bias.set_data(np.array(mu))
        net.decoder.weight.set_data(np.array(decoder[own]))
        net.decoder.bias.set_data(np.array(bias[own]))
        columns = Columns.of(part, own, 7, workers)
        settings = Settings(loss="sum", optimizer="sgd", learning_rate=rate, weight_decay=0)
        steps = SparseSteps(net, part, settings, [mx.cpu()], workers, columns)
        found = workers.total(steps.step(batch))
        steps.write_back()
        return float(found[0].sum()), weights(net), own

    found = together(2, step)
    for squares, _, _ in found:
        assert squares == pytest.approx((errors**2).sum(), rel=1e-5)
    assert_same(expected, joined(found), 1e-5)


def test_every_column_has_one_owner_whatever_its_ids_type(rng):
    ids = rng.choice(10_000, 1_000, replace=False)
    ranks = owners(ids, 4)
    assert (ranks == owners(ids.astype(str), 4)).all()
    assert (ranks == owners(ids.astype(object), 4)).all()
    assert numpy.bincount(ranks, minlength=4).min() > 200


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"compute": "dense"}, "computes only the rated cells"),
        ({"optimizer": "lamb"}, "cannot split lamb"),
        ({"contexts": [mx.cpu(0), mx.cpu(1)]}, "one device"),
        ({"input_dropout": 0.1}, "no dropout on the input"),
    ],
)
def test_what_columns_cannot_do_is_refused(change, reason):
    with pytest.raises(ConfigurationError, match=reason):
        together(1, lambda workers: trained(workers, **change))


@pytest.mark.parametrize("count", [2, 3, 1])
@pytest.mark.parametrize("case", ["averaged, patience", "rmsprop", "deep"])
def test_a_job_goes_on_from_its_checkpoint_with_any_number_of_workers(tmp_path, case, count):
    settings = {**CASES[case], "num_epochs": 5}

    def stop(epoch):
        if epoch.epoch == 3:
            raise StopError

    checkpoints = Checkpoints(tmp_path / "checkpoints")
    with pytest.raises(StopError):
        together(2, partial(trained, checkpoints=checkpoints, on_epoch=stop, **settings))
    assert checkpoints.epochs()[-1] == 3
    found = together(count, partial(trained, checkpoints=checkpoints, resume=True, **settings))
    expected = together(2, partial(trained, **settings))
    if count == 2:  # threads add up in the order of ranks
        assert found[0][0] == expected[0][0]
    for one, other in zip(found[0][0], expected[0][0]):
        assert one == pytest.approx(other, abs=1e-4)
    assert_same(joined(expected), joined(found), 0 if count == 2 else 1e-3)
    last = checkpoints.epochs()[-1]
    parts = {path.name for path in (tmp_path / "checkpoints/columns").glob(f"*/epoch-{last:04}")}
    assert len(list((tmp_path / "checkpoints/columns").glob(f"*-of-{count}/*-{last:04}"))) == count
    assert parts == {f"epoch-{last:04}"}


def test_checkpoints_of_columns_are_complete_and_none_are_left_over(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints", every=2)
    together(2, partial(trained, checkpoints=checkpoints, num_epochs=5, validate=False))
    assert checkpoints.epochs() == [4, 5]
    together(
        3, partial(trained, checkpoints=checkpoints, resume=True, num_epochs=9, validate=False)
    )
    assert checkpoints.epochs() == [8, 9]
    for rank in range(3):
        assert part_of(checkpoints, rank, 3).epochs() == [8, 9]
    assert part_of(checkpoints, 0, 2).epochs() == []


def test_a_part_that_is_missing_or_not_the_checkpoints_is_said(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    together(2, partial(trained, checkpoints=checkpoints, num_epochs=1))
    resumed = partial(trained, checkpoints=checkpoints, resume=True, num_epochs=2)
    with pytest.raises(ConfigurationError, match="batch_size 16, not 8"):
        together(1, partial(resumed, batch_size=8))
    with pytest.raises(ConfigurationError, match="made with .*parallel columns"):
        trained(checkpoints=checkpoints, resume=True, num_epochs=2)
    part = part_of(checkpoints, 1, 2).path(1)
    shutil.copytree(part_of(checkpoints, 0, 2).path(1), part, dirs_exist_ok=True)
    with pytest.raises(DataCorruptError, match="not of these columns"):
        together(1, resumed)
    shutil.rmtree(part)
    with pytest.raises(DataCorruptError, match="1-of-2"):
        together(1, resumed)
