"""A recommender whose columns several workers own, in threads of one process."""

import numpy
import pytest
from support.columns import together
from support.training import low_rank_ratings

from autorec import Recommender, random_split
from autorec.distributed.columns import owners
from autorec.errors import ConfigurationError, NotFittedError
from autorec.recommender.by_columns import own_ratings

SMALL = {"num_hidden": 6, "num_epochs": 3, "batch_size": 16, "devices": "cpu", "dropout": 0.0}
CASES = {
    "section": {},
    "users": {"view": "user"},
    "normalised": {"normalise": True, "clip": True, "decay_power": 0.5, "averaging": 0.5},
    "deep": {"num_hidden": [6, 3, 6], "init_sigma": 0.0},
}


def fitted(workers=None, **parameters):
    train, test = random_split(low_rank_ratings(), 0.1, seed=1)
    learned, chooser = random_split(train, 0.1, seed=2)
    model = Recommender(**{**SMALL, **parameters})
    if workers is None:
        return model.fit(learned, validation=chooser, test=test)
    view = parameters.get("view", "item")
    ids = learned.user_ids if view == "item" else learned.item_ids
    own = numpy.flatnonzero(owners(ids, workers.count) == workers.rank)
    mine = own_ratings(learned, view, own)  # nobody is given the others'
    assert len(mine) < len(learned)
    options = {"workers": workers, "parallel": "columns"}
    return model.fit(mine, validation=chooser, test=test, **options)


@pytest.mark.parametrize("case", CASES)
def test_rank_0_ends_with_the_model_of_one_process(case, tmp_path):
    alone = fitted(**CASES[case])
    model, other, _ = together(3, lambda workers: fitted(workers, **CASES[case]))
    pairs = alone.ratings_.pairs()
    assert len(model.ratings_) == len(alone.ratings_)
    assert model.ratings_.frame().merge(alone.ratings_.frame()).shape == (len(pairs[0]), 3)
    numpy.testing.assert_allclose(model.predict(*pairs), alone.predict(*pairs), atol=1e-3)
    again = Recommender.load(model.save(tmp_path / "model"))
    numpy.testing.assert_array_equal(again.predict(*pairs), model.predict(*pairs))
    assert len(model.recommend(k=3)) == len(alone.recommend(k=3))
    with pytest.raises(NotFittedError):
        other.predict(*pairs)


@pytest.mark.parametrize(
    "change",
    [
        {"view": "both", "user_weight": 0.5}, {"members": 2}, {"holdout": 0.1},
        {"num_hidden": [4, 4], "pretrain_epochs": 1}, {"ratings_in": "mean"}, {"compute": "dense"},
        {"input_dropout": 0.1}, {"optimizer": "lars"},
    ],
)  # fmt: skip
def test_what_columns_cannot_do_is_refused(change):
    def fit(workers):
        model = Recommender(**{**SMALL, **change})
        model.fit(low_rank_ratings(), workers=workers, parallel="columns")

    with pytest.raises(ConfigurationError, match="or train with --parallel rows"):
        together(1, fit)
