"""AutoRec and a Bayesian SVD++ together, beside each by itself."""

import numpy
from support.experiments import SMALL, made_up, needs_myfm

from autorec import Recommender, random_split
from autorec.baselines import BayesianMF
from autorec.experiments.blend import Blend
from autorec.experiments.protocol import Row, quick, run
from autorec.experiments.tables import TABLES

AUTOREC = {**SMALL, "patience": 2}


@needs_myfm
def test_a_blend_is_the_weighted_mean_of_what_was_chosen_and_trained_on_all():
    train, test = random_split(made_up(), 0.1, 0)
    blend = Blend(AUTOREC, num_samples=20, devices="cpu", random_state=3).fit(train)
    weight = blend.chosen_["weight"]
    assert 0 < weight < 1
    autorec = Recommender(
        **{**AUTOREC, **blend.chosen_["autorec"], "devices": "cpu", "random_state": 3}
    )
    bayesian = BayesianMF(implicit=True, num_samples=20, random_state=3)
    one, other = (each.fit(train).predict(*test.pairs()) for each in (autorec, bayesian))
    expected = one + weight * (other - one)
    # Two sums of the same float32 numbers, in another order.
    numpy.testing.assert_allclose(blend.predict(*test.pairs()), expected, rtol=0, atol=1e-5)


@needs_myfm
def test_what_a_blend_chose_is_in_the_result():
    train, test = random_split(made_up(), 0.1, 0)
    found = run(Row("both", "Blend", "made up", {"autorec": AUTOREC}), train, test, 0, "cpu")
    assert found["trials"] == []
    assert found["chosen"].keys() == {"weight", "autorec"}


def test_a_quick_blend_has_few_epochs_and_samples():
    rows = quick({"ml-100k": [row for row in TABLES["ml-100k"] if row.model == "Blend"]})
    for row in rows["ml-100k"]:
        assert row.parameters["autorec"]["num_epochs"] == 2
        assert row.parameters["num_samples"] == 4
