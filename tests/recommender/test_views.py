"""Both views in one model, and several seeds: their mean, wherever a single net would answer."""

import json
from dataclasses import replace

import numpy
import pandas as pd
import pytest
from support import ROUNDING
from support.command_line import command_line

from autorec import Checkpoints, Ratings, Recommender, accuracy, random_split
from autorec.choosing.space import BASE, STARTS
from autorec.errors import ConfigurationError, RatingsError
from autorec.evaluation.ensemble import best_weight
from autorec.recommender import PRESETS, fitting
from autorec.recommender.presets import Parameters
from autorec.training.history import Epoch, History

SMALL = {
    "num_hidden": 5,
    "num_epochs": 6,
    "loss": "rating",
    "learning_rate": 0.03,
    "batch_size": 16,
    "init_sigma": 0.1,
    "weight_decay": 1e-3,
    "dropout": 0.0,
    "devices": "cpu",
}
BOTH = {"view": "both", "user_view": {"num_hidden": 3, "num_epochs": 4}, "user_weight": 0.3}
UNITS = {"raw": {}, "any unit": {"ratings_in": "shifted", "ratings_out": "biases", "clip": True}}


def table(rng, users=25, items=40) -> pd.DataFrame:
    """Ratings of 1 to 5 in half of the cells, of users and items who differ."""
    item, user = (rng.random((items, users)) < 0.5).nonzero()
    tastes = rng.normal(size=users)[user] + rng.normal(size=items)[item]
    rating = (3 + tastes + rng.normal(size=len(item))).clip(1, 5).round()
    return pd.DataFrame({"user": user, "item": [f"film {i}" for i in item], "rating": rating})


def fitted(ratings, **parameters):
    return Recommender(**{**SMALL, **parameters}).fit(ratings)


@pytest.fixture(params=UNITS)
def unit(request):
    return UNITS[request.param]


def every_pair(model):
    users, items = model.ratings_.user_ids, model.ratings_.item_ids
    return numpy.repeat(users, len(items)), numpy.tile(items, len(users))


def test_a_model_of_both_views_is_the_mean_of_two(unit, rng):
    ratings = Ratings.from_frame(table(rng))
    unit = {**unit, "clip": False}
    both = fitted(ratings, **BOTH, **unit)
    item = fitted(ratings, **unit)
    user = fitted(ratings, **{**unit, **BOTH["user_view"]}, view="user")
    pairs = every_pair(both)
    expected = 0.7 * item.predict(*pairs) + 0.3 * user.predict(*pairs)
    numpy.testing.assert_allclose(both.predict(*pairs), expected, rtol=ROUNDING)
    assert numpy.abs(item.predict(*pairs) - user.predict(*pairs)).max() > 0.1
    assert [len(history) for history in both.histories_] == [6, 4]


def test_members_are_seeds_in_a_row(unit, rng):
    frame, unit = table(rng), {**unit, "clip": False}
    model = fitted(frame, members=3, random_state=5, **unit)
    alone = [fitted(frame, random_state=seed, **unit) for seed in (5, 6, 7)]
    pairs = every_pair(model)
    expected = numpy.mean([each.predict(*pairs) for each in alone], axis=0)
    numpy.testing.assert_allclose(model.predict(*pairs), expected, rtol=ROUNDING)
    assert len(model.members_) == 3


def test_recommendations_are_the_highest_predictions(unit, rng):
    model = fitted(table(rng), members=2, **BOTH, **unit)
    found = model.recommend(3, k=40, exclude_seen=False)
    expected = model.predict([3] * len(found), found["item"])
    numpy.testing.assert_allclose(found["rating"], expected, rtol=1e-4)
    assert (numpy.diff(expected) < 1e-4).all()
    assert len(found) == 40


def test_the_weight_is_the_best_one_and_no_test_rating_chooses_it(unit, rng, monkeypatch):
    ratings = Ratings.from_frame(table(rng))
    parameters = {**SMALL, **BOTH, **unit, "user_weight": None}
    asked = []
    learn = fitting._train

    def watched(parameters, part, validation, *others):
        asked.append((part, validation))
        return learn(parameters, part, validation, *others)

    monkeypatch.setattr(fitting, "_train", watched)
    model = Recommender(**parameters).fit(ratings, test=ratings.take(numpy.arange(9)))
    (part, chooser), (whole, none) = asked
    assert whole is ratings
    assert none is None
    assert len(part) + len(chooser) == len(ratings)
    weight = model.chosen_["user_weight"]
    assert [each.weight for each in model.members_] == [1 - weight, weight]
    assert len(model.history_) == model.chosen_["num_epochs"]
    assert len(model.histories_[1]) == model.chosen_["user_view"]["num_epochs"]
    # What was chosen, as parameters, gives the same model.
    again = Recommender(**{**parameters, **model.chosen_}).fit(ratings)
    pairs = every_pair(model)
    assert again.predict(*pairs).tobytes() == model.predict(*pairs).tobytes()
    # With validation ratings these choose, and nothing is trained twice.
    asked.clear()
    watching = Recommender(**{**parameters, "clip": False}).fit(part, validation=chooser)
    assert len(asked) == 1
    best = accuracy(watching.predict(*chooser.pairs()), chooser.values).rmse
    for other in (0.0, 0.3, 0.6, 1.0):
        fixed = Recommender(**{**parameters, "clip": False, "user_weight": other})
        fixed.fit(part, validation=chooser)
        assert accuracy(fixed.predict(*chooser.pairs()), chooser.values).rmse >= best - 1e-5


def test_the_best_weight_is_that_of_least_squares(rng):
    item, user, noise = rng.normal(size=(3, 200))
    ratings = 0.6 * item + 0.4 * user + 0.1 * noise
    tried = numpy.linspace(0, 1, 1001)
    errors = [((ratings - (1 - w) * item - w * user) ** 2).sum() for w in tried]
    arrays = [each.astype(numpy.float32) for each in (item, user, ratings)]
    assert best_weight(*arrays) == pytest.approx(tried[numpy.argmin(errors)], abs=1e-3)
    assert best_weight(*arrays[:2], arrays[0]) == 0
    assert best_weight(arrays[0], arrays[0], arrays[2]) == 0.5


def test_a_share_held_out_chooses_the_epochs_of_one_net(rng):
    ratings = Ratings.from_frame(table(rng))
    overfitting = {**SMALL, "num_epochs": 60, "weight_decay": 0.0, "patience": 5}
    model = Recommender(**overfitting, holdout=0.2).fit(ratings)
    part, chooser = random_split(ratings, 0.2, seed=0)
    trial = Recommender(**overfitting).fit(part, validation=chooser)
    assert 1 < trial.history_.best.epoch < 60
    assert model.chosen_["num_epochs"] == trial.history_.best.epoch == len(model.history_)
    assert sum(model.ratings_.values) == sum(ratings.values)


def test_similar_items_by_the_item_net_and_similar_users_by_the_user_net(rng):
    ratings = Ratings.from_frame(table(rng))
    both = fitted(ratings, **BOTH)
    item, user = fitted(ratings), fitted(ratings, **BOTH["user_view"], view="user")
    pd.testing.assert_frame_equal(both.similar_items("film 3"), item.similar_items("film 3"))
    pd.testing.assert_frame_equal(both.similar_users(7), user.similar_users(7))
    # The other way round it is the decoder's lines: by hand.
    lines = item.net_.decoder.weight.data().asnumpy()
    lines = lines - lines.mean(axis=0)
    cosines = lines @ lines[7] / numpy.linalg.norm(lines, axis=1) / numpy.linalg.norm(lines[7])
    found = item.similar_users(7, k=24)
    numpy.testing.assert_allclose(found["similarity"], cosines[found["user"]], atol=1e-5)
    assert 7 not in set(found["user"])
    with pytest.raises(RatingsError, match="no user 70"):
        both.similar_users(70)


@pytest.mark.parametrize("members", [1, 2])
def test_it_comes_back_from_disk(unit, members, rng, tmp_path):
    model = fitted(table(rng), members=members, **BOTH, **unit)
    again = Recommender.load(model.save(tmp_path / "model"))
    pairs = every_pair(model)
    assert again.predict(*pairs).tobytes() == model.predict(*pairs).tobytes()
    assert again.get_params() == model.get_params()
    assert [len(each) for each in again.histories_] == [len(each) for each in model.histories_]
    assert again.chosen_ == model.chosen_
    pd.testing.assert_frame_equal(again.similar_users(3), model.similar_users(3))


def test_new_users_and_new_items_are_folded_in(unit, rng, tmp_path):
    frame = table(rng)
    model = fitted(frame, **BOTH, **{**unit, "clip": False})
    item, user = fitted(frame, **unit), fitted(frame, **unit, **BOTH["user_view"], view="user")
    known = model.predict([3, 4], ["film 5", "film 6"])
    # A new user who rates as user 3 does, and a new item that is rated as film 5 is.
    copied = frame[frame["user"] == 3].assign(user=100)
    other = frame[frame["item"] == "film 5"].assign(item="new film")
    model.update(pd.concat([copied, other]))
    assert (model.ratings_.num_users, model.ratings_.num_items) == (26, 41)
    # The new user's row is the old one's, to the user net; the item net does not know them.
    expected = user.predict([3], ["film 9"])
    numpy.testing.assert_allclose(model.predict([100], ["film 9"]), expected, rtol=1e-4)
    # The new film's row is the old one's, to the item net; the user net does not know it.
    expected = item.predict([4], ["film 5"])
    numpy.testing.assert_allclose(model.predict([4], ["new film"]), expected, rtol=1e-4)
    numpy.testing.assert_allclose(model.predict([4], ["film 6"]), known[1:], rtol=1e-4)
    found = model.recommend(100, k=41, exclude_seen=False)
    expected = model.predict([100] * 41, found["item"])
    if unit:  # else what no net knows has no score that is a prediction
        numpy.testing.assert_allclose(found["rating"], expected, rtol=1e-4)
    assert "new film" in set(model.recommend(4, k=41, exclude_seen=False)["item"])
    assert model.is_cold([100, 4, 100], ["new film", "new film", "film 6"]).tolist() == [
        True,
        False,
        False,
    ]
    assert len(model.similar_users(100)) == 10
    assert model.similar_users(100)["user"][0] == 3
    assert model.similar_items("new film")["item"][0] == "film 5"
    again = Recommender.load(model.save(tmp_path / "model"))
    numpy.testing.assert_array_equal(
        again.predict(*every_pair(again)), model.predict(*every_pair(model))
    )


def stopped(model, ratings, checkpoints, after):
    """Fit until so many epochs were trained, and stop; return these."""
    heard = []

    def count(epoch):
        heard.append(epoch)
        if len(heard) == after:
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        model.fit(ratings, checkpoints=checkpoints, on_epoch=count)
    return heard


# Ten epochs choose, of the item view and of the user view; each of those to all ratings has one.
@pytest.mark.parametrize("stop", [1, 5, 8, 11, 12])
def test_a_run_of_both_views_is_resumed_to_the_bit(stop, unit, rng, tmp_path):
    ratings = Ratings.from_frame(table(rng))
    parameters = {**SMALL, **BOTH, **unit, "user_weight": None}
    expected = Recommender(**parameters).fit(ratings)
    checkpoints = Checkpoints(tmp_path / "run")
    heard = stopped(Recommender(**parameters), ratings, checkpoints, stop)
    found = Recommender(**parameters)
    found.fit(ratings, checkpoints=checkpoints, resume=True, on_epoch=heard.append)
    pairs = every_pair(expected)
    assert found.predict(*pairs).tobytes() == expected.predict(*pairs).tobytes()
    planned = 6 + 4 + len(expected.history_) + len(expected.histories_[1])
    assert len(heard) == planned  # none was trained again


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"view": "all"}, "view .* must be 'item', 'user' or 'both'"),
        ({"user_view": {"clip": True}}, "user_view has 'clip', which is no hyperparameter of"),
        ({"user_view": {"colour": 1}}, "user_view has 'colour'"),
        ({"user_view": {"learning_rate": -1}}, r"learning_rate \(--lr\) must be above 0, not -1"),
        ({"user_view": 3}, "user_view .* must be a mapping"),
        ({"user_weight": 2}, "user_weight .* must be at most 1"),
        ({"members": 0}, "members .* must be at least 1"),
        ({"holdout": 1}, "holdout .* must be less than 1|holdout .* must be below 1"),
    ],
)
def test_what_cannot_be_is_refused(parameters, said):
    with pytest.raises(ConfigurationError, match=said):
        Recommender(**parameters)


def test_from_the_shell(rng, tmp_path, monkeypatch, capsys):
    path, run = tmp_path / "films.csv", tmp_path / "run"
    table(rng).to_csv(path, index=False)
    flags = ["--view", "both", "--user-view", "hidden=3,lr=0.01,epochs=3", "--members", 2]
    quick = ["--ratings", path, "--hidden", 4, "--epochs", 5, "--devices", "cpu", "--output", run]
    assert command_line(monkeypatch, *quick, *flags, "--checkpoint-every", 2) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert [each["view"] for each in metrics["nets"]] == ["item", "item", "user", "user"]
    assert sum(each["weight"] for each in metrics["nets"]) == pytest.approx(1)
    assert metrics["config"]["user_view"] == {
        "num_hidden": 3,
        "learning_rate": 0.01,
        "num_epochs": 3,
    }
    model = Recommender.load(run / "model")
    assert model.user_view["num_epochs"] == 3
    assert command_line(monkeypatch, "--resume", run) == 0  # all is done
    again = json.loads((run / "metrics.json").read_text())
    assert (again["test_rmse"], again["nets"]) == (metrics["test_rmse"], metrics["nets"])
    assert command_line(monkeypatch, "--ratings", path, "--user-view", "3") == 2
    assert "--user-view 3 gives no value" in capsys.readouterr().err


def test_the_weight_decay_is_doubled_or_halved_while_that_helps(rng, monkeypatch):
    train, held_out = random_split(Ratings.from_frame(table(rng)), 0.2, 0)
    net, tried = fitted(train).net_, []

    def scored(parameters, *_):
        lowest = {"item": 16.0, "user": 0.5}[parameters.view]
        rmse = 1 + abs(numpy.log2(parameters.weight_decay / lowest))
        tried.append((parameters.view, parameters.weight_decay))
        return net, History([Epoch(1, 1.0, rmse, None, 1.0, 1.0, 1.0)])

    monkeypatch.setattr(fitting, "_train_net", scored)
    how = {"view": "both", "user_weight": 0.3, "choose_decay": True, "weight_decay": 2.0}
    model = Recommender(**{**SMALL, **how}).fit(train, validation=held_out)
    assert [decay for view, decay in tried if view == "item"] == [2, 4, 8, 16, 32]
    assert [decay for view, decay in tried if view == "user"] == [2, 4, 1, 0.5, 0.25]
    assert (model.chosen_["weight_decay"], model.chosen_["choose_decay"]) == (16, False)
    assert model.chosen_["user_view"]["weight_decay"] == 0.5


@pytest.mark.parametrize("best", ["shifted", "mean", "raw"])
def test_what_goes_in_is_chosen_before_its_weight_decay(best, rng, monkeypatch):
    train, held_out = random_split(Ratings.from_frame(table(rng)), 0.2, 0)
    net, tried = fitted(train).net_, []

    def scored(parameters, *_):
        rmse = 2 - (parameters.ratings_in == best) + abs(numpy.log2(parameters.weight_decay / 4))
        tried.append((parameters.ratings_in, parameters.weight_decay))
        return net, History([Epoch(1, 1.0, rmse, None, 1.0, 1.0, 1.0)])

    monkeypatch.setattr(fitting, "_train_net", scored)
    how = {"choose_ratings_in": True, "choose_decay": True, "weight_decay": 2.0}
    model = Recommender(**{**SMALL, **how}).fit(train, validation=held_out)
    assert tried[:3] == [("raw", 2), ("shifted", 2), ("mean", 2)]
    assert tried[3:] == [(best, 4), (best, 8)]
    chosen = {"ratings_in": best, "choose_ratings_in": False, "weight_decay": 4}
    assert chosen.items() <= model.chosen_.items()


@pytest.mark.parametrize("own", [{}, {"ratings_in": "biases"}])
def test_what_goes_in_is_chosen_by_the_item_view(own, rng, monkeypatch):
    train, held_out = random_split(Ratings.from_frame(table(rng)), 0.2, 0)
    net, tried = fitted(train).net_, []

    def scored(parameters, *_):
        tried.append((parameters.view, parameters.ratings_in))
        liked = {"item": "mean", "user": "shifted"}[parameters.view]
        rmse = 2.0 - (parameters.ratings_in == liked)
        return net, History([Epoch(1, 1.0, rmse, None, 1.0, 1.0, 1.0)])

    monkeypatch.setattr(fitting, "_train_net", scored)
    how = {"view": "both", "user_weight": 0.3, "choose_ratings_in": True, "user_view": own}
    model = Recommender(**{**SMALL, **how}).fit(train, validation=held_out)
    assert [going_in for view, going_in in tried if view == "item"] == ["raw", "shifted", "mean"]
    expected = own.get("ratings_in", "mean")
    assert [going_in for view, going_in in tried if view == "user"] == [expected]
    assert model.chosen_["ratings_in"] == "mean"
    assert "weight_decay" not in model.chosen_
    settled = replace(Parameters(**{**SMALL, **how}), **model.chosen_)
    assert settled.of_view("user").ratings_in == expected


def test_what_is_chosen_is_that_of_the_fit_to_all(rng):
    ratings = Ratings.from_frame(table(rng))
    asked = {"choose_decay": True, "choose_ratings_in": True, "ratings_out": "mean"}
    model = fitted(ratings, holdout=0.2, weight_decay=0.5, **asked)
    assert model.chosen_["weight_decay"] < 0.5, "the net would hardly leave its start"
    again = fitted(ratings, ratings_out="mean", **model.chosen_)
    pairs = every_pair(model)
    numpy.testing.assert_array_equal(again.predict(*pairs), model.predict(*pairs))


@pytest.mark.parametrize("stop", [3, 9, 14, 20])
def test_a_choice_by_trial_is_resumed_to_the_bit(stop, rng, tmp_path):
    ratings = Ratings.from_frame(table(rng))
    asked = {"choose_decay": True, "choose_ratings_in": True, "ratings_in": "shifted"}
    parameters = {**SMALL, "holdout": 0.2, **asked}  # three runs of six at least
    expected = Recommender(**parameters).fit(ratings)
    checkpoints = Checkpoints(tmp_path / "run")
    stopped(Recommender(**parameters), ratings, checkpoints, stop)
    found = Recommender(**parameters).fit(ratings, checkpoints=checkpoints, resume=True)
    assert found.chosen_ == expected.chosen_
    pairs = every_pair(expected)
    assert found.predict(*pairs).tobytes() == expected.predict(*pairs).tobytes()


@pytest.mark.parametrize("kind", ["best", "tune"])
def test_the_ratings_unit_changes_nothing_but_the_predictions_unit(kind, rng):
    frame = table(rng)
    parameters = {"best": PRESETS["best"], "tune": {**BASE, **STARTS[0]}}[kind]
    few = {"num_epochs": 10, "num_hidden": 20, "learning_rate": 0.01, "devices": "cpu"}
    model, other = (
        Recommender(**{**parameters, **few}).fit(each)
        for each in (frame, frame.assign(rating=20 * frame["rating"] + 7))
    )
    assert other.chosen_ == model.chosen_
    pairs = every_pair(model)
    found, spread = model.predict(*pairs), frame["rating"].std()
    # Sums in float32 round differently in each unit, and training carries that on.
    numpy.testing.assert_allclose((other.predict(*pairs) - 7) / 20, found, atol=1e-3 * spread)
    assert numpy.ptp(found) > spread, "it has learned"
