"""Recommender: AutoRec as an estimator over a table of ratings, its parameters in plain sight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ._mxnet import mx
from .devices import contexts
from .errors import ConfigurationError
from .evaluation import predict_cells
from .history import Epoch, History
from .interactions import Interactions, View
from .model import AutoRec
from .pretraining import pretrain
from .ratings import Ratings
from .sparse import Compute
from .training import Loss, fit

_PAPER: dict[str, Any] = {
    "dropout": 0.0,
    "loss": "sum",
    "learning_rate": 0.003,
    "learning_rate_decay": 0.97,
    "weight_decay": 0.05,
    "decay_biases": False,
    "num_epochs": 80,
    "clip": True,
    "cold_rating": 3.0,
}

#: Parameters by the name of what they are for; what is not named is `Recommender`'s default.
PRESETS: dict[str, dict[str, Any]] = {
    # The section's cells.
    "section": {},
    # The paper's model and objective; learning rate, its decay and epochs are ours.
    "paper": _PAPER,
    # The paper's model; rows, weights and their decay treated as predicts best.
    "best": {**_PAPER, "normalise": True, "decay_power": 0.5, "averaging": 0.9},
}


@dataclass(eq=False)
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
        The training ratings, with the id maps.
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
    _inputs: Interactions = field(init=False, repr=False)

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

    def fit(
        self,
        ratings: Ratings,
        *,
        validation: Ratings | None = None,
        test: Ratings | None = None,
        on_epoch: Callable[[Epoch], None] | None = None,
    ) -> Recommender:
        """Train a new net.

        Parameters
        ----------
        ratings : Ratings
            To train on.
        validation : Ratings, optional
            Held out, under the same id maps: the best epoch by these is kept.
        test : Ratings, optional
            Reported after each epoch and used for nothing else.
        on_epoch : callable, optional
            Called with each `Epoch`.

        Returns
        -------
        Recommender
            Itself.
        """
        train, validation_cells, test_cells = (
            None if part is None else Interactions.from_ratings(part, self.view)
            for part in (ratings, validation, test)
        )
        assert train is not None
        if len(train) == 0:
            raise ConfigurationError("There are no ratings to train on; give at least one.")
        self.ratings_, self._inputs = ratings, train
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
        }
        start = None
        if self.pretrain_epochs:
            sizes = self.num_hidden if isinstance(self.num_hidden, Sequence) else [self.num_hidden]
            start = pretrain(sizes, train, num_epochs=self.pretrain_epochs, **shape, **settings)
            settings["learning_rate"] = self.finetuning_rate or self.learning_rate
        self.net_ = AutoRec(
            self.num_hidden,
            train.shape[1],
            self.dropout,
            input_dropout=self.input_dropout,
            **shape,
        )
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
            **settings,
        )
        return self

    def predict(self, users: Any, items: Any) -> NDArray[np.float32]:
        """Predict the ratings that users give to items.

        Parameters
        ----------
        users, items : array-like, shape (n,)
            Ids of the table that was fitted: user n with item n.

        Returns
        -------
        ndarray of float32, shape (n,)

        Raises
        ------
        RatingsError
            If an id is not in the table.
        """
        rows, columns = self.ratings_.codes(users, items)
        if self.view == "item":
            rows, columns = columns, rows
        shape = self._inputs.shape
        # A pair may repeat; the cells of a matrix do not.
        cells, places = np.unique(rows.astype(np.int64) * shape[1] + columns, return_inverse=True)
        ones = np.ones(len(cells), dtype=np.float32)
        matrix = csr_matrix((ones, np.divmod(cells, shape[1])), shape=shape)
        predicted = predict_cells(
            self.net_,
            self._inputs,
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
        return ~self._inputs.known(rows, columns)

    def _clip(self) -> tuple[float, float] | None:
        return self.scale_ if self.clip else None

    @property
    def cold_prediction(self) -> float:
        """What is predicted for a user or an item without training ratings."""
        return sum(self.scale_) / 2 if self.cold_rating is None else self.cold_rating
