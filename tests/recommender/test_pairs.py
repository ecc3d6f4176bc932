"""`Recommender` as a regressor of pairs, in the hands of scikit-learn itself."""

import numpy
import pandas as pd
import pytest
from sklearn.base import clone, is_regressor
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from support.training import low_rank_ratings

from autorec import Ratings, Recommender
from autorec.errors import RatingsError

SMALL = {
    "num_hidden": 4,
    "num_epochs": 5,
    "batch_size": 16,
    "learning_rate": 0.02,
    "loss": "sum",
    "devices": "cpu",
}
RATINGS = low_rank_ratings()
X = numpy.column_stack([RATINGS.user_ids[RATINGS.users], RATINGS.item_ids[RATINGS.items]])
Y = RATINGS.values


def test_a_clone_has_the_same_parameters_and_is_not_fitted():
    model = Recommender(view="both", user_view={"dropout": 0.1}, num_hidden=[4, 2, 4], clip=True)
    copy = clone(model)
    assert copy is not model
    assert copy.get_params() == model.get_params()
    fitted = Recommender(**SMALL).fit(X, Y)
    assert not [name for name in vars(clone(fitted)) if name.endswith("_")]
    assert is_regressor(model)


def test_pairs_are_the_same_ratings_as_a_table():
    by_pairs, by_table = Recommender(**SMALL).fit(X, Y), Recommender(**SMALL).fit(RATINGS)
    assert (by_pairs.predict(X) == by_table.predict(*RATINGS.pairs())).all()
    frame = pd.DataFrame({"who": X[:, 0], "what": X[:, 1]})
    assert (by_pairs.predict(frame) == by_pairs.predict(X)).all()
    assert (Recommender(**SMALL).fit(frame, list(Y)).predict(X) == by_pairs.predict(X)).all()
    assert by_pairs.score(X, Y) == pytest.approx(r2_score(Y, by_pairs.predict(X)))


def test_cross_val_score_is_what_a_loop_over_folds_gives():
    folds = KFold(3, shuffle=True, random_state=0)
    found = cross_val_score(
        Recommender(**SMALL), X, Y, cv=folds, scoring="neg_root_mean_squared_error"
    )
    by_hand = []
    for train, test in folds.split(X):
        model = Recommender(**SMALL).fit(RATINGS.take(train))
        errors = model.predict(*RATINGS.take(test).pairs(), unknown="fallback") - Y[test]
        by_hand.append(-numpy.sqrt(numpy.square(errors, dtype=numpy.float64).mean()))
    assert found == pytest.approx(by_hand, rel=1e-5)
    assert len(cross_val_score(Recommender(**SMALL), X, Y, cv=folds)) == 3  # by its own score


def test_grid_search_finds_the_better_rate_and_trains_it_on_all():
    search = GridSearchCV(
        Recommender(**SMALL),
        {"learning_rate": [1e-6, 0.02], "view": ["item", "user"]},
        cv=2,
        scoring="neg_root_mean_squared_error",
    ).fit(X, Y)
    assert search.best_params_["learning_rate"] == 0.02
    assert len(search.best_estimator_.ratings_) == len(Y)
    assert (search.predict(X) == search.best_estimator_.predict(X)).all()


def test_ids_may_be_text_and_a_fold_may_lack_some():
    films = pd.DataFrame({"user": ["a", "a", "b", "b"], "item": ["x", "y", "x", "z"]})
    model = Recommender(**SMALL).fit(films, [1, 2, 3, 4])
    predicted = model.predict(numpy.array([["a", "z"], ["nobody", "z"]]))
    assert predicted[1] == model.cold_prediction
    with pytest.raises(RatingsError, match="nobody"):
        model.predict(["nobody"], ["z"])
    with pytest.raises(RatingsError, match="nobody"):
        model.predict([["nobody", "z"]], unknown="error")


def test_zero_and_below_are_ratings_where_the_model_centres_them():
    centred = {**SMALL, "ratings_in": "mean", "ratings_out": "mean"}
    shifted = Recommender(**centred).fit(X, Y - 3)
    assert isinstance(shifted.ratings_, Ratings)
    with pytest.raises(RatingsError, match="has the rating"):
        Recommender(**SMALL).fit(X, Y - 3)


@pytest.mark.parametrize(
    ("pairs", "ratings", "said"),
    [
        (X[:, :1], Y, "two columns, users and items, not the shape"),
        (X[:, 0], Y, "two columns"),
        (X, Y[1:], "cannot have"),
        (X[[0, 0]], Y[:2], "rated item"),
    ],
)
def test_what_are_no_pairs_is_said(pairs, ratings, said):
    with pytest.raises(RatingsError, match=said):
        Recommender(**SMALL).fit(pairs, ratings)


def test_ratings_of_one_column_are_ratings():
    model = Recommender(**SMALL).fit(X, Y.reshape(-1, 1))
    assert (model.predict(X) == Recommender(**SMALL).fit(X, Y).predict(X)).all()
    assert model.score(X, Y.reshape(-1, 1)) == model.score(X, Y)
    for wrong in (Y[:1], Y[:-1], numpy.column_stack([Y, Y])):
        for method in (model.score, Recommender(**SMALL).fit):
            with pytest.raises(RatingsError, match="give as many|must have one column"):
                method(X, wrong)
