"""Workers that own columns, in one process: threads instead of processes, a sum instead of servers.

tests/processes/test_column_jobs.py has the same over MXNet's servers.
"""

import numpy
import pytest
from scipy.sparse import csr_matrix
from support.columns import CASES, joined, together, trained
from support.training import assert_same, weights

from autorec import AutoRec, Interactions
from autorec._mxnet import mx, np
from autorec.distributed.columns import Columns, owners
from autorec.errors import ConfigurationError
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
