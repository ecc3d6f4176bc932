"""Recommender: from a table of ratings to predictions and recommendations, by the caller's ids."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ._mxnet import mx
from .checkpoints import Checkpoint, Checkpoints
from .devices import contexts
from .errors import ConfigurationError, NotFittedError, RatingsError
from .evaluation import Accuracy, accuracy, predict_cells
from .history import Epoch, History
from .interactions import Interactions, View
from .model import AutoRec
from .persistence import check_saveable, load, save
from .presets import PRESETS
from .pretraining import pretrain
from .ranking import Ranking, ranking
from .ratings import Ratings
from .reading import as_ratings
from .scores import best_items, codes, nearest
from .sparse import Compute
from .training import Loss, fit
from .workers import Workers


@dataclass(frozen=True)
class Evaluation:
    """How a model does on ratings that were held out."""

    errors: Accuracy
    ranking: Ranking


@dataclass(eq=False, repr=False)
class Recommender:
    """AutoRec over a table of ratings: fit it, then predict.

    The defaults are the section's. `preset` gives other sets of values by name.

    Parameters
    ----------
    view : {"item", "user"}
        What a row is: "item" for I-AutoRec, "user" for U-AutoRec.
    num_hidden, encoder_activation, decoder_activation, dropout, input_dropout
        As of `AutoRec`.
    normalise : bool
        Whether rows are normalised to the mean number of ratings a row has, see `AutoRec`.
    num_epochs, batch_size, loss, optimizer, learning_rate, learning_rate_decay, weight_decay, \
decay_biases, decay_power, averaging, patience
        As of `fit`.
    pretrain_epochs : int
        Passes over the ratings by which the layers of a deep net are trained in pairs before; 0
        for none. See `pretrain`.
    finetuning_rate : float, optional
        The learning rate of the whole net after that; `learning_rate` by default.
    clip : bool
        Whether predictions are kept within the scale of the training ratings.
    cold_rating : float, optional
        What is predicted for a user or an item without training ratings; the middle of the scale
        of the training ratings by default.
    init_sigma : float
        Standard deviation of the first weights; 0 for Xavier's rule, which deep nets need.
    devices : str
        As of `contexts`.
    compute : {"auto", "dense", "sparse"}
        As of `fit`.
    random_state : int
        The seed of weights, order and dropout.

    Attributes
    ----------
    ratings_ : Ratings
        The training ratings, with the id maps, and what `update` brought.
    inputs_ : Interactions
        The same as the matrix whose rows the net gets.
    net_ : AutoRec
    history_ : History
    scale_ : tuple of float
        Lowest and highest training rating.
    """

    view: View = "item"
    num_hidden: int | Sequence[int] = 500
    encoder_activation: str = "sigmoid"
    decoder_activation: str = "identity"
    dropout: float = 0.05
    input_dropout: float = 0.0
    normalise: bool = False
    num_epochs: int = 25
    batch_size: int = 256
    loss: Loss = "mean"
    optimizer: str = "adam"
    learning_rate: float = 0.002
    learning_rate_decay: float = 1.0
    weight_decay: float = 1e-5
    decay_biases: bool = True
    decay_power: float = 0.0
    averaging: float = 0.0
    patience: int | None = None
    pretrain_epochs: int = 0
    finetuning_rate: float | None = None
    clip: bool = False
    cold_rating: float | None = None
    init_sigma: float = 0.01
    devices: str = "gpu"
    compute: Compute = "auto"
    random_state: int = 0
    ratings_: Ratings = field(init=False, repr=False)
    net_: AutoRec = field(init=False, repr=False)
    history_: History = field(init=False, repr=False)
    scale_: tuple[float, float] = field(init=False, repr=False)
    inputs_: Interactions = field(init=False, repr=False)

    @classmethod
    def preset(cls, name: str, **parameters: Any) -> Recommender:
        """Return a recommender with the values of `PRESETS`, and others on top.

        Raises
        ------
        ConfigurationError
            If there is no such preset.
        """
        if name not in PRESETS:
            raise ConfigurationError(
                f"There is no preset {name!r}; choose one of {', '.join(PRESETS)}."
            )
        return cls(**{**PRESETS[name], **parameters})

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name, as scikit-learn's estimators do."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.init}

    def set_params(self, **parameters: Any) -> Recommender:
        """Set parameters by name, as scikit-learn's estimators do; return itself.

        Raises
        ------
        ConfigurationError
            If there is no such parameter.
        """
        known = self.get_params()
        for name, value in parameters.items():
            if name not in known:
                raise ConfigurationError(
                    f"Recommender has no parameter {name!r}; it has {', '.join(known)}."
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        """Say what differs from the defaults and, once fitted, from what it learned."""
        chosen = ", ".join(
            f"{each.name}={getattr(self, each.name)!r}"
            for each in fields(self)
            if each.init and getattr(self, each.name) != each.default
        )
        if not hasattr(self, "net_"):
            return f"Recommender({chosen})"
        return (
            f"<Recommender({chosen}) fitted to {len(self.ratings_):,} ratings of "
            f"{self.ratings_.num_items:,} items by {self.ratings_.num_users:,} users>"
        )

    def __getattr__(self, name: str) -> Any:
        # Only called for what is missing: what fit sets ends in an underscore.
        if name.endswith("_") and not name.startswith("_"):
            raise NotFittedError("This Recommender is not fitted yet; call fit, or load one.")
        raise AttributeError(f"'Recommender' object has no attribute {name!r}")

    def fit(
        self,
        ratings: Any,
        *,
        validation: Any | None = None,
        test: Any | None = None,
        on_epoch: Callable[[Epoch], None] | None = None,
        checkpoints: Checkpoints | None = None,
        resume: bool | Checkpoint = False,
        workers: Workers | None = None,
    ) -> Recommender:
        """Train a new net.

        Parameters
        ----------
        ratings : Ratings, DataFrame, sparse matrix or path
            To train on, see `as_ratings`.
        validation : the same, optional
            Held out, of users and items in `ratings`: the best epoch by these is kept.
        test : the same, optional
            Reported after each epoch and used for nothing else.
        on_epoch, checkpoints, resume, workers
            As of `fit`. Layers are not pretrained again when a run is resumed.

        Returns
        -------
        Recommender
            Itself.
        """
        ratings = as_ratings(ratings)
        check_saveable(self, ratings)
        train = Interactions.from_ratings(ratings, self.view)
        validation_cells, test_cells = (
            None if part is None else Interactions.from_ratings(_under(ratings, part), self.view)
            for part in (validation, test)
        )
        if len(train) == 0:
            raise ConfigurationError("There are no ratings to train on; give at least one.")
        self.ratings_, self.inputs_ = ratings, train
        self.scale_ = float(ratings.values.min()), float(ratings.values.max())
        shape: dict[str, Any] = {
            "encoder_activation": self.encoder_activation,
            "decoder_activation": self.decoder_activation,
            "scale": self.scale_,
            "typical_count": len(train) / len(train.rated_rows()) if self.normalise else None,
        }
        settings: dict[str, Any] = {
            "batch_size": self.batch_size,
            "loss": self.loss,
            "optimizer": self.optimizer,
            "learning_rate": self.learning_rate,
            "learning_rate_decay": self.learning_rate_decay,
            "weight_decay": self.weight_decay,
            "decay_biases": self.decay_biases,
            "decay_power": self.decay_power,
            "averaging": self.averaging,
            "init": mx.init.Normal(self.init_sigma) if self.init_sigma else mx.init.Xavier(),
            "contexts": contexts(self.devices),
            "compute": self.compute,
            "seed": self.random_state,
            "workers": workers,
        }
        start = None
        if checkpoints is not None:
            names = "pretrain_epochs", "learning_rate"
            before = {name: getattr(self, name) for name in names} if self.pretrain_epochs else {}
            checkpoints = replace(checkpoints, facts={**checkpoints.facts, "pretraining": before})
            resume = checkpoints.begin(resume) or False
        if self.pretrain_epochs:
            sizes = self.num_hidden if isinstance(self.num_hidden, Sequence) else [self.num_hidden]
            if not resume:
                start = pretrain(sizes, train, num_epochs=self.pretrain_epochs, **shape, **settings)
            settings["learning_rate"] = self.finetuning_rate or self.learning_rate
        self.net_ = self.build_net(train.shape[1], shape["typical_count"])
        self.history_ = fit(
            self.net_,
            train,
            validation=validation_cells,
            test=test_cells,
            num_epochs=self.num_epochs,
            patience=self.patience,
            clip=self._clip(),
            cold=self.cold_prediction,
            start=start,
            on_epoch=on_epoch,
            checkpoints=checkpoints,
            resume=resume,
            **settings,
        )
        return self

    def predict(
        self, users: Any, items: Any, unknown: Literal["error", "fallback"] = "error"
    ) -> NDArray[np.float32]:
        """Predict the ratings that users give to items.

        Parameters
        ----------
        users, items : array-like, shape (n,)
            Ids of the table that was fitted: user n with item n.
        unknown : {"error", "fallback"}
            Whether ids that were not in the table are refused, or answered by
            `cold_prediction`.

        Returns
        -------
        ndarray of float32, shape (n,)

        Raises
        ------
        RatingsError
            If an id is not in the table.
        """
        if unknown not in ("error", "fallback"):
            raise ConfigurationError(f"unknown must be 'error' or 'fallback', not {unknown!r}.")
        if unknown == "fallback":
            users, items = np.atleast_1d(users), np.atleast_1d(items)
            known = self.ratings_.knows(users, items)
            answer = np.full(len(users), self.cold_prediction, dtype=np.float32)
            answer[known] = self.predict(users[known], items[known])
            return answer
        rows, columns = self.ratings_.codes(users, items)
        if self.view == "item":
            rows, columns = columns, rows
        shape = self.inputs_.shape
        # A pair may repeat; the cells of a matrix do not.
        cells, places = np.unique(rows.astype(np.int64) * shape[1] + columns, return_inverse=True)
        ones = np.ones(len(cells), dtype=np.float32)
        matrix = csr_matrix((ones, np.divmod(cells, shape[1])), shape=shape)
        predicted = predict_cells(
            self.net_,
            self.inputs_,
            Interactions(matrix, self.view),
            contexts(self.devices),
            clip=self._clip(),
            cold=self.cold_prediction,
            compute=self.compute,
        )
        result: NDArray[np.float32] = predicted[places]
        return result

    def is_cold(self, users: Any, items: Any) -> NDArray[np.bool_]:
        """Tell of pairs whether the user or the item has no training rating."""
        rows, columns = self.ratings_.codes(users, items)
        if self.view == "item":
            rows, columns = columns, rows
        return ~self.inputs_.known(rows, columns)

    def recommend(
        self,
        users: Any | None = None,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        titles: Mapping[Any, str] | pd.Series[str] | None = None,
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
            Titles by item id, for a column of their own.

        Returns
        -------
        DataFrame
            Columns user, rank (from 1), item, rating and, if given, title.

        Raises
        ------
        RatingsError
            If a user is not in the table.
        """
        if k < 1:
            raise ConfigurationError(f"k must be at least 1, not {k}.")
        rows = (
            np.arange(self.ratings_.num_users) if users is None else self.ratings_.user_codes(users)
        )
        blocks = list(self._best(rows, k, exclude_seen))
        items = np.concatenate([found for found, _ in blocks])
        values = np.concatenate([found for _, found in blocks])
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
        return _with_titles(table, titles)

    def similar_items(
        self, item: Any, k: int = 10, titles: Mapping[Any, str] | pd.Series[str] | None = None
    ) -> pd.DataFrame:
        """Return the items whose vectors are most like an item's.

        In the item view an item's vector is its code; in the user view it is the item's row of the
        decoder's weights. What all vectors have in common is taken off first.

        Parameters
        ----------
        item : id
        k : int
        titles
            As of `recommend`.

        Returns
        -------
        DataFrame
            Columns rank, item, similarity (the cosine, from -1 to 1) and, if given, title.

        Raises
        ------
        RatingsError
            If the item is not in the table, or has no rating.
        """
        (row,) = self.ratings_.item_codes([item])
        where = contexts(self.devices)
        if self.view == "item":
            vectors, rated = codes(self.net_, self.inputs_, where, self.compute), self.inputs_
        else:
            vectors = self.net_.decoder.weight.data(where[0]).asnumpy()
            rated = Interactions(self.inputs_.matrix.T.tocsr())
        rows = rated.rated_rows()
        if row not in rows:
            raise RatingsError(f"Item {item!r} has no rating, so nothing is known to be like it.")
        found, similarities = nearest(vectors, int(row), rows, k)
        table = pd.DataFrame(
            {
                "rank": np.arange(len(found)) + 1,
                "item": self.ratings_.item_ids[found],
                "similarity": similarities,
            }
        )
        return _with_titles(table, titles)

    def evaluate(
        self,
        test: Any,
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
        relevant : float, optional
            The rating from which on a test item counts as liked; three quarters up the scale, 4 of
            1 to 5, by default.
        unknown
            As of `predict`; unknown users and items count for the errors, not for the ranking.

        Raises
        ------
        RatingsError
            If an id is not in the table.
        ConfigurationError
            If no test rating is relevant.
        """
        ratings = as_ratings(test)
        users, items = ratings.pairs()
        errors = accuracy(self.predict(users, items, unknown), ratings.values)
        low, high = self.scale_
        least = low + 0.75 * (high - low) if relevant is None else relevant
        liked = (ratings.values >= least) & self.ratings_.knows(users, items)
        rows, columns = self.ratings_.codes(users[liked], items[liked])
        shape = self.ratings_.num_users, self.ratings_.num_items
        wanted = csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape)
        asked = np.unique(rows)
        found = list(self._best(asked, k, exclude_seen=True)) if len(asked) else []
        lists = [items for items, _ in found] or [np.empty((0, k), dtype=np.int64)]
        return Evaluation(errors, ranking(np.concatenate(lists), wanted[asked]))

    def update(self, ratings: Any) -> Recommender:
        """Take new ratings in without training (fold-in): a row is just an input.

        In the item view the ratings of an item, known or new, are its row; in the user view those
        of a user. They join the ratings of the table, and take the place of those of the same user
        and item. The weights stay as they are, so what has no row cannot be folded in: a new user
        in the item view, a new item in the user view. Fit again for these.

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
        other = "user" if self.view == "item" else "item"
        merged = self.ratings_.joined(as_ratings(ratings), fixed=other)
        self.ratings_, self.inputs_ = merged, Interactions.from_ratings(merged, self.view)
        return self

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the model to a folder, see `persistence.save`; return the folder."""
        return save(self, Path(folder))

    @classmethod
    def load(cls, folder: str | os.PathLike[str], devices: str | None = None) -> Recommender:
        """Read a model that `save` wrote, see `persistence.load`."""
        model: Recommender = load(cls, Path(folder), devices)
        return model

    def _best(self, users: Any, k: int, exclude_seen: bool) -> Any:
        return best_items(
            self.net_,
            self.inputs_,
            users,
            k,
            contexts(self.devices),
            exclude_seen=exclude_seen,
            compute=self.compute,
        )

    def build_net(self, columns: int, typical_count: float | None) -> AutoRec:
        """Return a net of the shape that the parameters and the scale say, not yet initialised."""
        return AutoRec(
            self.num_hidden,
            columns,
            self.dropout,
            input_dropout=self.input_dropout,
            encoder_activation=self.encoder_activation,
            decoder_activation=self.decoder_activation,
            scale=self.scale_,
            typical_count=typical_count,
        )

    def _clip(self) -> tuple[float, float] | None:
        return self.scale_ if self.clip else None

    @property
    def cold_prediction(self) -> float:
        """What is predicted for a user or an item without training ratings."""
        return sum(self.scale_) / 2 if self.cold_rating is None else self.cold_rating


def _under(ratings: Ratings, part: Any) -> Ratings:
    """Return a part under the id maps of a table."""
    found = as_ratings(part)
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


def _with_titles(
    table: pd.DataFrame, titles: Mapping[Any, str] | pd.Series[str] | None
) -> pd.DataFrame:
    if titles is None:
        return table
    return table.assign(title=table["item"].map(titles))
