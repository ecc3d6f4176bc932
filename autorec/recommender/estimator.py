"""Recommender: from a table of ratings to predictions and recommendations, by the caller's ids."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .._arrays import Floats, Integers
from .._bounds import real, whole
from .._fitted import Fitted
from .._mxnet import from_any_thread, numpy_semantics
from .._terminal import counted
from ..compute.devices import contexts
from ..data import View, ids
from ..data.interactions import Interactions, rows_of
from ..data.ratings import Nonpositive, Ratings
from ..data.reading import as_ratings
from ..distributed.roles import Parallel
from ..distributed.workers import Workers
from ..errors import ConfigurationError, RatingsError
from ..evaluation.accuracy import Accuracy, accuracy
from ..evaluation.ensemble import Member, biases, known, predict_pairs
from ..evaluation.ranking import Ranking, ranking
from ..evaluation.top_items import best_items, nearest, vectors
from ..model import AutoRec
from ..training.checkpoints import Checkpoint, Checkpoints
from ..training.history import Epoch, History
from .fitting import Fitting, Learned, cold_rating, learn
from .id_maps import check_saveable
from .pairs import one_each, rated_pairs, regressor_tags, split_pairs
from .presets import Parameters, preset_parameters
from .saving import load, save
from .settings_file import read_settings

if TYPE_CHECKING:
    from sklearn.utils import Tags

#: Of the parameters.
NAMES = tuple(each.name for each in fields(Parameters))

#: Rows of the largest table of recommendations that is made in one piece: some 3 GB.
MOST_ROWS = 100_000_000

#: By item id.
Titles = Union[Mapping[Any, str], "pd.Series[str]"]
#: What `best_items` yields.
Blocks = Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]


@dataclass(frozen=True)
class Evaluation:
    """How a model does on ratings that were held out."""

    errors: Accuracy
    ranking: Ranking


class Recommender(Fitted):
    """AutoRec over a table of ratings: fit it, then predict.

    To scikit-learn it is a regressor of pairs, ``fit(X, y)``, ``predict(X)`` and ``score(X, y)``
    with users and items in the two columns of X and their ratings in y: `clone`,
    `cross_val_score` and `GridSearchCV` take it.

    Parameters
    ----------
    **parameters
        The fields of `Parameters` by name; the defaults are the section's. `preset` gives other
        sets of values by name.

    Attributes
    ----------
    ratings_ : Ratings
        The training ratings, with the id maps, and what `update` brought.
    members_ : tuple of Member
        The nets, each with the matrix whose rows it gets and its weight: one, unless the view is
        "both" or there are several `members`; those of the item view come first.
    histories_ : tuple of History
        Of each of these.
    net_, inputs_, history_ : AutoRec, Interactions, History
        Those of the first.
    chosen_ : dict
        What validation ratings, or those that `holdout` set aside, chose: epochs, and the weight of
        the views. As parameters they make a fit to all ratings the one that was found best.
    scale_ : tuple of float
        Lowest and highest training rating.

    Raises
    ------
    ConfigurationError
        If a parameter is out of its bounds.
    TypeError
        If there is no such parameter.
    """

    ratings_: Ratings
    members_: tuple[Member, ...]
    histories_: tuple[History, ...]
    chosen_: dict[str, Any]
    scale_: tuple[float, float]

    __signature__ = inspect.signature(Parameters)

    def __init__(self, **parameters: Any) -> None:
        checked = Parameters(**parameters)
        vars(self).update({name: parameters.get(name, getattr(checked, name)) for name in NAMES})

    @classmethod
    def preset(cls, name: str, **parameters: Any) -> Recommender:
        """Return a recommender with the values of `PRESETS`, and others on top.

        Raises
        ------
        ConfigurationError
            If there is no such preset.
        """
        return cls(**vars(preset_parameters(name, **parameters)))

    @classmethod
    def from_settings(cls, path: str | os.PathLike[str], **parameters: Any) -> Recommender:
        """Return a recommender with the values of a settings file, and others on top.

        Parameters
        ----------
        path : path
            Of a ``settings.json`` that `autorec tune` left.

        Raises
        ------
        ConfigurationError
            If it is none, or a value cannot be used.
        """
        return cls(**{**read_settings(Path(path)).parameters, **parameters})

    @property
    def parameters(self) -> Parameters:
        """The parameters as they are now, checked."""
        return Parameters(**self.get_params())

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name, as scikit-learn's estimators do."""
        return {name: getattr(self, name) for name in NAMES}

    def set_params(self, **parameters: Any) -> Recommender:
        """Set parameters by name, as scikit-learn's estimators do; return itself.

        Raises
        ------
        ConfigurationError
            If there is no such parameter, or one is out of its bounds.
        """
        for name in parameters:
            if name not in NAMES:
                raise ConfigurationError(
                    f"Recommender has no parameter {name!r}; it has {', '.join(NAMES)}."
                )
        Parameters(**{**self.get_params(), **parameters})
        vars(self).update(parameters)
        return self

    @property
    def net_(self) -> AutoRec:
        """The first net."""
        return self.members_[0].net

    @property
    def inputs_(self) -> Interactions:
        """The matrix whose rows the first net gets."""
        return self.members_[0].inputs

    @property
    def history_(self) -> History:
        """The history of the first net."""
        return self.histories_[0]

    def __repr__(self) -> str:
        """Say what differs from the defaults and, once fitted, from what it learned."""
        usual = Parameters()
        chosen = ", ".join(
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if value != getattr(usual, name)
        )
        if "members_" not in vars(self):
            return f"Recommender({chosen})"
        return (
            f"<Recommender({chosen}) fitted to {counted(len(self.ratings_), 'rating')} of "
            f"{counted(self.ratings_.num_items, 'item')} by "
            f"{counted(self.ratings_.num_users, 'user')}>"
        )

    @numpy_semantics()
    def fit(
        self,
        ratings: object,
        y: object = None,
        *,
        validation: object = None,
        test: object = None,
        on_epoch: Callable[[Epoch], None] | None = None,
        checkpoints: Checkpoints | None = None,
        resume: bool | Checkpoint = False,
        workers: Workers | None = None,
        parallel: Parallel = "rows",
    ) -> Recommender:
        """Train a new net.

        If that fails or is interrupted, the model is what it was: not fitted, or the one before.

        Parameters
        ----------
        ratings : Ratings, DataFrame, sparse matrix or path
            To train on, see `as_ratings`. With `y`, pairs: array-like or DataFrame, shape (n, 2).
        y : array-like of float, shape (n,), optional
            The ratings of pairs.
        validation : the same, optional
            Held out, of users and items in `ratings`: the best epoch by these is kept.
        test : the same, optional
            Reported after each epoch and used for nothing else.
        on_epoch, checkpoints, resume, workers
            See `fit`. Layers are not pretrained again when a run is resumed.
        parallel : {"rows", "columns"}
            What the workers share: the rows of each batch, or the columns of net and ratings. Then
            each may be given the ratings of its own columns alone (see `owners`), in a table with
            the ids of all, and rank 0 alone ends with a fitted model.

        Returns
        -------
        Recommender
            Itself.
        """
        parameters = self.parameters
        sign: Nonpositive = "keep" if parameters.any_sign else "error"
        if y is None:
            ratings = as_ratings(ratings, nonpositive=sign)
        else:
            ratings = rated_pairs(ratings, y, sign)
        check_saveable(ratings)
        chooser, held_out = (
            None if part is None else _under(ratings, part) for part in (validation, test)
        )
        how = Fitting(on_epoch, checkpoints, resume, workers, parallel)
        found = learn(parameters, ratings, chooser, held_out, how)
        if parallel == "rows" or workers is None or workers.rank == 0:
            self._take(found)
        return self

    def _take(self, learned: Learned) -> None:
        found = copy.copy(self)
        for each in fields(learned):
            setattr(found, f"{each.name}_", getattr(learned, each.name))
        self._adopt(found)

    @from_any_thread
    def predict(
        self,
        users: object,
        items: object = None,
        unknown: Literal["error", "fallback"] | None = None,
    ) -> NDArray[np.float32]:
        """Predict the ratings that users give to items.

        Parameters
        ----------
        users, items : array-like, shape (n,)
            Ids of the table that was fitted: user n with item n. Each is compared by its value,
            in the type of the table's ids, see `ids.places`. Or pairs alone, shape (n, 2).
        unknown : {"error", "fallback"}
            Whether ids that are not in the table are an error, or are predicted
            `cold_prediction`.

        Returns
        -------
        ndarray of float32, shape (n,)

        Raises
        ------
        RatingsError
            If an id is not in the table, or is no id, such as NaN.
        """
        if items is None:
            users, items = split_pairs(users)
            unknown = unknown or "fallback"
        unknown = unknown or "error"
        _check_unknown(unknown)
        return self._predict(*self.ratings_.codes(users, items, unknown))

    def score(self, X: object, y: object) -> float:
        """Return R² of the predictions for pairs, as scikit-learn's regressors do.

        Parameters
        ----------
        X : array-like or DataFrame, shape (n, 2)
        y : array-like of float, shape (n,)
        """
        predicted = self.predict(X)
        values = one_each(y, len(predicted)).astype(np.float64)
        errors = np.square(predicted - values).sum()
        return float(1 - errors / np.square(values - values.mean()).sum())

    def __sklearn_tags__(self) -> Tags:
        return regressor_tags()

    def is_cold(self, users: object, items: object) -> NDArray[np.bool_]:
        """Return for each pair whether the user or the item has no training rating."""
        return ~known(self.members_, *self.ratings_.codes(users, items))

    @from_any_thread
    def recommend(
        self,
        users: object = None,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        titles: Titles | None = None,
    ) -> pd.DataFrame:
        """Return the items with the highest predictions for each user.

        Items without ratings are not recommended: nothing is known of them.

        Parameters
        ----------
        users : id or array-like of ids, optional
            Everybody by default.
        k : int
            Items for each user, fewer where there are no more.
        exclude_seen : bool
            Whether items that the user has rated are left out.
        titles : mapping or Series of str, optional
            Titles by item id, for a column of their own; ids are compared as in `predict`.

        Returns
        -------
        DataFrame
            Columns user, rank (from 1), item, rating and, if given, title.

        Raises
        ------
        RatingsError
            If a user is not in the table.
        ConfigurationError
            If the table could have more than `MOST_ROWS` rows.
        """
        rows = self._rows(users, k)
        self._check_size(len(rows), k, "lower k, or take recommend_batches")
        blocks = zip(*self._best(rows, k, exclude_seen))
        items, values = (np.concatenate(each) for each in blocks)
        return self._table(rows, items, values, titles)

    def recommend_batches(
        self,
        users: object = None,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        titles: Titles | None = None,
    ) -> Iterator[pd.DataFrame]:
        """Yield the table of `recommend` in parts, each of which fits where the whole need not.

        Parameters
        ----------
        users, k, exclude_seen, titles
            See `recommend`.

        Yields
        ------
        DataFrame
            The recommendations of some users more; of at least one table, which may be empty.

        Raises
        ------
        RatingsError
            If a user is not in the table; before the first part.
        """
        rows = self._rows(users, k)
        return self._tables(rows, self._best(rows, k, exclude_seen), titles)

    @from_any_thread
    def similar_items(
        self, item: object, k: int = 10, titles: Titles | None = None
    ) -> pd.DataFrame:
        """Return the items whose vectors are most like an item's.

        In the item view an item's vector is its code; in the user view it is the item's row of the
        decoder's weights. The mean of all vectors is subtracted first.

        Parameters
        ----------
        item : id
        k : int
        titles
            See `recommend`.

        Returns
        -------
        DataFrame
            Columns rank, item, similarity (the cosine, from -1 to 1) and, if given, title.

        Raises
        ------
        RatingsError
            If the item is not in the table, or has no rating.
        """
        (code,) = self.ratings_.item_codes([item])
        table = self._similar("item", item, int(code), k)
        return self._with_titles(table, titles)

    @from_any_thread
    def similar_users(self, user: Any, k: int = 10) -> pd.DataFrame:
        """Return the users whose vectors are most like a user's.

        In the user view a user's vector is their code; in the item view it is the user's row of the
        decoder's weights. The rest is as in `similar_items`.

        Parameters
        ----------
        user : id
        k : int

        Returns
        -------
        DataFrame
            Columns rank, user and similarity (the cosine, from -1 to 1).

        Raises
        ------
        RatingsError
            If the user is not in the table, or has no rating that a net knows.
        """
        (code,) = self.ratings_.user_codes([user])
        return self._similar("user", user, int(code), k)

    def _similar(self, kind: View, id_: Any, code: int, k: int) -> pd.DataFrame:
        whole("k", k, least=1)
        found = vectors(self.members_, kind, contexts(self.devices), self.compute)
        if code not in found.rated:
            raise RatingsError(
                f"{kind.capitalize()} {id_!r} has no rating, so nothing is known to be like it."
            )
        codes, similarities = nearest(found.vectors, code, found.rated, k)
        every = self.ratings_.item_ids if kind == "item" else self.ratings_.user_ids
        return pd.DataFrame(
            {"rank": np.arange(len(codes)) + 1, kind: every[codes], "similarity": similarities}
        )

    @from_any_thread
    def evaluate(
        self,
        test: object,
        k: int = 10,
        relevant: float | None = None,
        unknown: Literal["error", "fallback"] = "error",
    ) -> Evaluation:
        """Compare predictions and recommendations with ratings that were held out.

        Parameters
        ----------
        test : Ratings, DataFrame, sparse matrix or path
        k : int
            The length of the lists of recommendations; they leave out what was seen in training.
            There are no more places than items: above their number it counts as this, which is
            then the ``k`` of the `Ranking`.
        relevant : float, optional
            The rating from which on a test item counts as liked; three quarters up the scale, 4 of
            1 to 5, by default.
        unknown
            See `predict`; unknown users and items count for the errors, not for the ranking.

        Raises
        ------
        RatingsError
            If an id is not in the table.
        ConfigurationError
            If no test rating is relevant.
        """
        whole("k", k, least=1)
        relevant = None if relevant is None else real("relevant", relevant)
        _check_unknown(unknown)
        ratings = as_ratings(test, like=self.ratings_, nonpositive="keep")
        rows, columns = self.ratings_.codes(*ratings.pairs(), unknown)
        errors = accuracy(self._predict(rows, columns), ratings.values)
        low, high = self.scale_
        least = low + 0.75 * (high - low) if relevant is None else relevant
        liked = (ratings.values >= least) & (rows >= 0) & (columns >= 0)
        rows, columns = rows[liked], columns[liked]
        shape = self.ratings_.num_users, self.ratings_.num_items
        k = min(k, self.ratings_.num_items)
        wanted = csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape)
        asked = np.unique(rows)
        self._check_size(len(asked), k, "lower k")
        found = list(self._best(asked, k, exclude_seen=True)) if len(asked) else []
        lists = [items for items, _ in found] or [np.empty((0, k), dtype=np.int64)]
        return Evaluation(errors, ranking(np.concatenate(lists), wanted[asked]))

    def update(self, ratings: object) -> Recommender:
        """Take new ratings in without training (fold-in): a row is just an input.

        In the item view the ratings of an item, known or new, are its row; in the user view those
        of a user; with both views either. They join the ratings of the table, and take the place of
        those of the same user and item. The weights stay as they are, so what has no row cannot be
        folded in: a new user in the item view, a new item in the user view; fit again for these.
        With both views a new user is known to the net of the user view alone, by the items that it
        was trained on, and a new item to that of the item view alone.

        Parameters
        ----------
        ratings : Ratings, DataFrame, sparse matrix or path

        Returns
        -------
        Recommender
            Itself.

        Raises
        ------
        RatingsError
            If a rating is of a new user in the item view, or a new item in the user view.
        """
        fixed = {"item": "user", "user": "item", "both": None}[self.view]
        any_sign = self.parameters.any_sign or (self.ratings_.values <= 0).any()
        sign: Nonpositive = "keep" if any_sign else "error"
        found = as_ratings(ratings, like=self.ratings_, nonpositive=sign)
        learned = copy.copy(self)
        learned.ratings_ = merged = self.ratings_.joined(found, fixed=fixed)
        learned.members_ = tuple(
            replace(each, inputs=rows_of(merged, each.inputs)) for each in self.members_
        )
        self._adopt(learned)
        return self

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the model to a folder, see `saving.save`; return the folder."""
        learned = Learned(**{each.name: getattr(self, f"{each.name}_") for each in fields(Learned)})
        return save(self.parameters, learned, Path(folder))

    @classmethod
    def load(cls, folder: str | os.PathLike[str], devices: str | None = None) -> Recommender:
        """Read a model that `save` wrote, see `saving.load`."""
        parameters, learned = load(Path(folder), devices)
        model = cls(**vars(parameters))
        model._take(learned)
        return model

    def _rows(self, users: object, k: int) -> NDArray[np.int64]:
        """Return the codes of the users to recommend to, everybody's by default."""
        whole("k", k, least=1)
        if users is None:
            return np.arange(self.ratings_.num_users)
        return self.ratings_.user_codes(users)

    def _check_size(self, users: int, k: int, way_out: str) -> None:
        most = users * min(k, self.ratings_.num_items)
        if most > MOST_ROWS:
            raise ConfigurationError(
                f"{k:,} recommendations for each of {users:,} users would be a table of up to "
                f"{most:,} rows, more than {MOST_ROWS:,}; {way_out}."
            )

    def _tables(
        self, rows: Integers, blocks: Blocks, titles: Titles | None
    ) -> Iterator[pd.DataFrame]:
        start = 0
        for items, values in blocks:
            yield self._table(rows[start : start + len(items)], items, values, titles)
            start += len(items)

    def _table(
        self, rows: Integers, items: Integers, values: Floats, titles: Titles | None
    ) -> pd.DataFrame:
        """Return what `best_items` found for some users, by ids."""
        place, rank = np.nonzero(items >= 0)
        chosen = items[place, rank]
        predicted = values[place, rank]
        table = pd.DataFrame(
            {
                "user": self.ratings_.user_ids[rows[place]],
                "rank": rank + 1,
                "item": self.ratings_.item_ids[chosen],
                "rating": predicted.clip(*self.scale_) if self.clip else predicted,
            }
        )
        return self._with_titles(table, titles)

    def _best(self, users: Integers, k: int, exclude_seen: bool) -> Blocks:
        return best_items(
            self.members_,
            Interactions.from_ratings(self.ratings_, "user").matrix,
            users,
            k,
            contexts(self.devices),
            exclude_seen=exclude_seen,
            compute=self.compute,
        )

    def _predict(self, users: Integers, items: Integers) -> NDArray[np.float32]:
        """Predict the ratings of pairs of codes; one below 0 is of an unknown id."""
        return predict_pairs(
            self.members_,
            users,
            items,
            contexts(self.devices),
            clip=self.scale_ if self.clip else None,
            cold=self.constant_cold_rating,
            compute=self.compute,
        )

    def _with_titles(self, table: pd.DataFrame, titles: Titles | None) -> pd.DataFrame:
        if titles is None:
            return table
        named = list(titles.items())
        places = ids.find(ids.listed("item", [id_ for id_, _ in named]), self.ratings_.item_ids)
        by_code = np.full(self.ratings_.num_items, np.nan, dtype=object)
        # Of several ways to write an id the first counts.
        for place, (_, title) in zip(places[::-1], named[::-1]):
            if place >= 0:
                by_code[place] = title
        return table.assign(title=by_code[self.ratings_.item_codes(table["item"])])

    @property
    def cold_prediction(self) -> float:
        """What is predicted where neither user nor item has a training rating.

        Where `ratings_out` is "biases" and there is no `cold_rating`, what is known of one of the
        two is added.
        """
        constant = self.constant_cold_rating
        return biases(self.members_)[0] if constant is None else constant

    @property
    def constant_cold_rating(self) -> float | None:
        """What is predicted of all that is cold; None where what is known of it counts."""
        return cold_rating(self.parameters, self.scale_)


def _under(ratings: Ratings, part: object) -> Ratings:
    """Return a part under the id maps of a table."""
    found = as_ratings(part, like=ratings, nonpositive="keep")
    if found.user_ids is ratings.user_ids and found.item_ids is ratings.item_ids:
        return found
    users, items = ratings.codes(*found.pairs())
    return replace(
        found,
        users=users.astype(np.int32),
        items=items.astype(np.int32),
        user_ids=ratings.user_ids,
        item_ids=ratings.item_ids,
    )


def _check_unknown(unknown: str) -> None:
    if unknown not in ("error", "fallback"):
        raise ConfigurationError(f"unknown must be 'error' or 'fallback', not {unknown!r}.")
