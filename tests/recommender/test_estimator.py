"""From a table to recommendations, by brute force and by hand where there is something to know."""

import copy
from dataclasses import astuple

import numpy
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from support import ROUNDING

from autorec import Ratings, Recommender, accuracy, random_split
from autorec.errors import ConfigurationError, NotFittedError, RatingsError
from autorec.evaluation import top_items as scores
from autorec.evaluation.ranking import ranking

SMALL = {
    "num_hidden": 6,
    "num_epochs": 8,
    "loss": "sum",
    "learning_rate": 0.02,
    "batch_size": 16,
    "init_sigma": 0.1,
    "devices": "cpu",
}
VARIANTS = {
    "item": {},
    "user": {"view": "user"},
    "item, sparse": {"compute": "sparse"},
    "deep": {"num_hidden": (6, 3, 6)},
    "bounded": {"decoder_activation": "sigmoid", "clip": True},
    "normalised": {"normalise": True, "view": "user"},
}


def table(seed=0, users=25, items=40) -> pd.DataFrame:
    """Half of the cells rated 1 to 5; ids that are no codes; film 990 has no rating by anybody."""
    rng = numpy.random.default_rng(seed)
    item, user = (rng.random((items, users)) < 0.5).nonzero()
    rating = 1 + (item + 2 * user + rng.integers(0, 3, len(item))) % 5
    return pd.DataFrame({"user": user + 100, "item": [f"film {i}" for i in item], "rating": rating})


def fitted(ratings=None, **parameters):
    return Recommender(**{**SMALL, **parameters}).fit(table() if ratings is None else ratings)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_recommendations_are_the_highest_predictions(variant, exclude_seen, monkeypatch):
    if variant == "item, sparse":
        pytest.importorskip("numba")
    ratings = Ratings.from_frame(table())
    part = ratings.take(ratings.items != 3)  # an item in the map that nobody rated
    model = fitted(part, **VARIANTS[variant])
    monkeypatch.setattr(scores, "BLOCK", 3 * ratings.num_items)  # three users at a time
    users = [107, 100, 124, 101]
    found = model.recommend(users, k=5, exclude_seen=exclude_seen)
    assert list(found.columns) == ["user", "rank", "item", "rating"]
    for user in users:
        unrated = set(ratings.item_ids[3:4])
        seen = (
            set(table().loc[lambda t, user=user: t.user == user, "item"]) if exclude_seen else set()
        )
        candidates = [item for item in ratings.item_ids if item not in seen | unrated]
        predicted = model.set_params(clip=False).predict([user] * len(candidates), candidates)
        best = numpy.sort(predicted)[::-1][:5]
        mine = found[found.user == user]
        assert mine["rank"].tolist() == [1, 2, 3, 4, 5]
        numpy.testing.assert_allclose(model.predict([user] * 5, mine["item"]), best, atol=1e-4)
        scale = (1, 5) if VARIANTS[variant].get("clip") else (-numpy.inf, numpy.inf)
        numpy.testing.assert_allclose(mine["rating"], best.clip(*scale), atol=1e-4)
        model.set_params(clip=VARIANTS[variant].get("clip", False))


def test_everybody_is_the_default_and_titles_are_joined():
    model = fitted()
    titles = {"film 1": "Heat (1995)"}
    found = model.recommend(k=60, titles=titles)
    assert found["user"].unique().tolist() == list(range(100, 125))
    assert found.groupby("user").size().tolist() == [
        40 - seen for seen in table().groupby("user").size()
    ]
    assert set(found.loc[found["item"] == "film 1", "title"]) == {"Heat (1995)"}
    one = model.recommend(107, k=3)
    pd.testing.assert_frame_equal(
        one, found[found.user == 107].head(3)[one.columns].reset_index(drop=True)
    )
    with pytest.raises(RatingsError, match="no user 7 in the ratings"):
        model.recommend([7])
    with pytest.raises(ConfigurationError, match="k must be at least 1"):
        model.recommend(107, k=0)


@pytest.mark.parametrize("view", ["item", "user"])
def test_items_that_are_rated_alike_are_similar(view):
    rng = numpy.random.default_rng(1)
    taste = rng.integers(1, 6, (3, 30))  # three kinds of films, each rated by all in its own way
    rating = numpy.repeat(taste, 4, axis=0).clip(1, 5)
    item, user = numpy.indices(rating.shape).reshape(2, -1)
    ratings = pd.DataFrame({"user": user, "item": item, "rating": rating[item, user]})
    model = fitted(ratings, view=view, num_epochs=150, learning_rate=0.005)
    found = model.similar_items(5, k=3, titles={4: "A"})
    assert set(found["item"]) == {4, 6, 7}
    assert (found["similarity"] > 0.6).all()
    assert found.loc[found["item"] == 4, "title"].item() == "A"
    with pytest.raises(RatingsError, match="no item 99"):
        model.similar_items(99)


def test_precision_recall_ndcg_and_coverage_by_hand():
    relevant = csr_matrix(numpy.array([[1, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 1, 1, 1, 0]]))
    found = ranking(numpy.array([[0, 1, 2], [0, 1, 2], [4, 3, -1]]), relevant)
    first = (1 + 1 / 2) / (1 + 1 / numpy.log2(3))
    third = (1 / numpy.log2(3)) / (1 + 1 / numpy.log2(3) + 1 / 2)
    assert found.precision == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert found.recall == pytest.approx((2 / 2 + 1 / 3) / 2)
    assert found.ndcg == pytest.approx((first + third) / 2)
    assert (found.coverage, found.users, found.k) == (1.0, 2, 3)
    with pytest.raises(ConfigurationError, match="lower `relevant`"):
        ranking(numpy.array([[0]]), csr_matrix((1, 5)))


def test_evaluation_has_the_errors_and_the_ranking():
    train, test = random_split(Ratings.from_frame(table()), 0.2, seed=0)
    model = fitted(train)
    result = model.evaluate(test, k=4)
    expected = accuracy(model.predict(*test.pairs()), test.values)
    assert astuple(result.errors) == pytest.approx(astuple(expected), rel=ROUNDING)
    lists = model.recommend(k=4)
    liked = test.frame().query("rating >= 4")
    hits = lists.merge(liked, on=["user", "item"]).groupby("user").size()
    counts = liked.groupby("user").size()
    assert result.ranking.users == len(counts)
    assert result.ranking.precision == pytest.approx(
        hits.reindex(counts.index).fillna(0).mean() / 4
    )
    assert model.evaluate(test, relevant=5).ranking.users < len(counts)
    with pytest.raises(ConfigurationError, match="relevant must be a finite number, not '5'"):
        model.evaluate(test, relevant="5")
    stranger = test.frame().assign(user=lambda t: t.user.where(t.index > 0, 999))
    with pytest.raises(RatingsError, match="no user 999"):
        model.evaluate(stranger)
    assert model.evaluate(stranger, unknown="fallback").errors.count == len(test)


def test_a_new_item_is_folded_in_without_training():
    model = fitted()
    before = model.predict([100], ["film 0"])
    weights = model.net_.decoder.weight.data().asnumpy()
    twin = table().query("item == 'film 7'").assign(item="a new film")
    assert model.update(twin) is model
    users = numpy.arange(100, 125)
    numpy.testing.assert_allclose(
        model.predict(users, ["a new film"] * 25), model.predict(users, ["film 7"] * 25), atol=1e-5
    )
    numpy.testing.assert_allclose(model.predict([100], ["film 0"]), before, rtol=ROUNDING)
    numpy.testing.assert_array_equal(model.net_.decoder.weight.data().asnumpy(), weights)
    assert "a new film" in set(model.recommend(k=40)["item"])
    rated = set(zip(twin.user, twin.item))
    recommended = model.recommend(k=41)
    assert not rated & set(zip(recommended.user, recommended.item))
    with pytest.raises(RatingsError, match="no user 7 in"):
        model.update(pd.DataFrame({"user": [7], "item": ["film 1"], "rating": [3]}))


def test_in_the_user_view_a_new_user_is():
    model = fitted(view="user")
    twin = table().query("user == 105").assign(user=5)
    model.update(twin)
    films = table()["item"].unique()
    numpy.testing.assert_allclose(
        model.predict([5] * len(films), films), model.predict([105] * len(films), films), atol=1e-5
    )
    with pytest.raises(RatingsError, match="no item 'film 99'"):
        model.update(pd.DataFrame({"user": [5], "item": ["film 99"], "rating": [3]}))


def test_a_rating_that_comes_again_replaces_the_old_one():
    model = fitted()
    row = table().iloc[[0]]
    number = len(model.ratings_)
    model.update(row.assign(rating=2))
    assert len(model.ratings_) == number
    assert model.ratings_.frame().merge(row, on=["user", "item"])["rating_x"].tolist() == [2]


def test_unknown_ids_get_the_fallback_by_choice():
    model = fitted(cold_rating=2.5)
    users, films = [100, 7, 100], ["film 1", "film 1", "film 999"]
    predicted = model.predict(users, films, unknown="fallback")
    assert predicted[1:].tolist() == [2.5, 2.5]
    assert predicted[0] == pytest.approx(model.predict([100], ["film 1"])[0], rel=ROUNDING)
    with pytest.raises(RatingsError, match="no user 7"):
        model.predict(users, films)
    with pytest.raises(ConfigurationError, match="'error' or 'fallback'"):
        model.predict(users, films, unknown="ignore")


def test_tables_of_every_kind_give_the_same_model(tmp_path):
    frame = table().assign(
        item=lambda t: t["item"].str[5:].astype(int), user=lambda t: t.user - 100
    )
    path = tmp_path / "ratings.csv"
    frame.to_csv(path, index=False)
    matrix = csr_matrix((frame.rating, (frame.user, frame.item)))
    renamed = frame.rename(columns={"user": "userId", "item": "movieId"})
    pairs = frame.user, frame.item
    expected = fitted(Ratings.from_frame(frame)).predict(*pairs)
    for each in (frame, renamed, path, str(path), matrix):
        numpy.testing.assert_allclose(fitted(each).predict(*pairs), expected, atol=1e-5)
    with pytest.raises(RatingsError, match="A list is no table of ratings"):
        fitted([1, 2, 3])


def test_an_empty_row_of_a_sparse_matrix_is_a_user_too():
    matrix = csr_matrix(numpy.array([[1, 0, 5], [0, 0, 0], [2, 3, 0]]))
    model = fitted(matrix, cold_rating=3.0)
    assert model.ratings_.num_users == 3
    assert model.predict([1], [0]).tolist() == [3.0]


def test_validation_may_be_a_table_of_the_same_ids():
    whole = table()
    model = Recommender(**SMALL).fit(whole[whole.index % 9 > 0], validation=whole[::9])
    assert model.history_[0].validation_rmse is not None
    with pytest.raises(RatingsError, match="no user 7"):
        Recommender(**SMALL).fit(whole, validation=whole.head(1).assign(user=7))


def test_it_keeps_scikit_learns_habits():
    model = Recommender(**SMALL)
    clone = Recommender(**model.get_params())
    assert clone.get_params() == model.get_params()
    assert model.set_params(num_hidden=3, random_state=4) is model
    assert (model.get_params()["num_hidden"], model.random_state) == (3, 4)
    with pytest.raises(ConfigurationError, match="no parameter 'hidden'"):
        model.set_params(hidden=3)
    assert copy.deepcopy(model).get_params() == model.get_params()
    assert not hasattr(model, "net_")


def test_it_says_what_it_is():
    assert repr(Recommender(view="user")) == "Recommender(view='user')"
    text = repr(fitted(num_epochs=1))
    assert "num_hidden=6" in text
    assert f"fitted to {len(table()):,} ratings of 40 items by 25 users" in text


@pytest.mark.parametrize(
    "ask",
    [
        lambda model: model.predict([1], [1]),
        lambda model: model.recommend(1),
        lambda model: model.similar_items(1),
        lambda model: model.update(table()),
        lambda model: model.save("nowhere"),
    ],
)
def test_what_is_not_fitted_says_so(ask):
    with pytest.raises(NotFittedError, match="call fit, or load one"):
        ask(Recommender())


@pytest.mark.parametrize(
    ("ask", "complaint"),
    [
        (lambda model: model.predict(100, ["film 1", "film 2"]), "1 user and 2 items"),
        (lambda model: model.predict(100, ["film 1"] * 2, "fallback"), "1 user and 2 items"),
        (lambda model: model.predict(numpy.ones((2, 2)), [1]), "A table is no list of users"),
        (lambda model: model.recommend(100, k=2.5), "k must be a whole number, not 2.5"),
        (lambda model: model.recommend(100, k=True), "k must be a whole number"),
        (lambda model: model.similar_items("film 1", k=0), "k must be at least 1"),
        (lambda model: model.similar_items(["film 1"]), "which cannot be an id"),
        (lambda model: model.evaluate(table(), k=0), "k must be at least 1"),
        (lambda model: model.evaluate(table(), unknown="no"), "'error' or 'fallback'"),
        (lambda model: model.evaluate(table()[:0]), "empty"),
    ],
)
def test_questions_without_an_answer_are_refused(ask, complaint):
    with pytest.raises((ConfigurationError, RatingsError), match=complaint):
        ask(fitted(num_epochs=1))


def test_nothing_asked_is_nothing_answered():
    for unknown in ("error", "fallback"):
        assert fitted(num_epochs=1).predict([], [], unknown).shape == (0,)


def test_there_are_no_more_places_than_items():
    found = fitted(num_epochs=1).evaluate(table(), k=100_000).ranking
    assert found == fitted(num_epochs=1).evaluate(table(), k=40).ranking
    assert found.k == 40


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_hidden", 0), ("num_hidden", 2.5), ("num_hidden", [3, 0, 3]), ("num_hidden", "6"),
        ("num_epochs", 0), ("num_epochs", True), ("batch_size", 0), ("batch_size", None),
        ("patience", 0), ("pretrain_epochs", -1), ("random_state", -1), ("random_state", 2**32),
        ("learning_rate", -1), ("learning_rate_decay", float("inf")), ("weight_decay", "x"),
        ("dropout", 1), ("input_dropout", -0.1), ("averaging", 1), ("init_sigma", -1),
        ("cold_rating", float("nan")), ("finetuning_rate", -1), ("decay_power", -1),
    ],
)  # fmt: skip
def test_settings_out_of_their_bounds_are_refused(name, value):
    said = rf"^{name}( \(--[a-z-]+\))? must be .*, not .*\.$"
    with pytest.raises(ConfigurationError, match=said):
        fitted(**{name: value})
