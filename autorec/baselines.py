"""Baselines: what AutoRec has to beat, means and matrix factorisation.

Each is fitted and asked like `Recommender`: ``fit(ratings)``, then ``predict(users, items)``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy
from numpy.typing import NDArray

from ._arrays import Integers
from ._bounds import MOST_SEED, real, whole
from ._fitted import Fitted
from ._mxnet import Array, Block, Context, from_any_thread, mx, nn, np, numpy_semantics
from ._storage.state import State
from .compute.devices import contexts, split_rows
from .data.biases import bias, biased_means
from .data.ratings import Ratings
from .errors import ConfigurationError
from .evaluation.accuracy import accuracy
from .training.history import Epoch, History
from .training.loop import Run, run_epochs
from .training.optimizer import make_trainer, optimizer_state, restore_optimizer
from .training.settings import Settings
from .training.steps import update


class Predictor(Protocol):
    """What the baselines and `Recommender` have in common."""

    def fit(self, ratings: Ratings) -> object:
        """Learn from ratings; return itself."""

    def predict(self, users: object, items: object) -> NDArray[numpy.float32]:
        """Predict the rating of each pair of ids."""


@dataclass(eq=False)
class Means(Fitted):
    """Predict means: r̂ = μ, or the user's or the item's own mean.

    Parameters
    ----------
    of : {"all", "user", "item"}
        Whose mean. A user or an item without ratings gets that of all.
    """

    of: str = "all"
    ratings_: Ratings = field(init=False, repr=False)
    means_: NDArray[numpy.float64] = field(init=False, repr=False)

    def fit(self, ratings: Ratings) -> Means:
        """Take the means."""
        if self.of not in ("all", "user", "item"):
            raise ConfigurationError(f"of must be 'all', 'user' or 'item', not {self.of!r}.")
        _check(ratings)
        learned = copy.copy(self)
        learned.ratings_ = ratings
        codes, size = learned._codes(ratings.users, ratings.items)
        total = ratings.values.mean(dtype=numpy.float64)
        learned.means_ = total + bias(codes, ratings.values - total, size, 0.0)
        self._adopt(learned)
        return self

    def predict(self, users: object, items: object) -> NDArray[numpy.float32]:
        """Predict the rating of each pair of ids."""
        codes, _ = self._codes(*self.ratings_.codes(users, items))
        result: NDArray[numpy.float32] = self.means_[codes].astype(numpy.float32)
        return result

    def _codes(self, users: Integers, items: Integers) -> tuple[Integers, int]:
        if self.of == "user":
            return users, len(self.ratings_.user_ids)
        if self.of == "item":
            return items, len(self.ratings_.item_ids)
        return numpy.zeros_like(users), 1


@dataclass(eq=False)
class BiasedMeans(Fitted):
    """Predict r̂ = μ + b_u + b_i, the offsets of user and item regularised (Koren 2009).

    Minimises Σ (r - μ - b_u - b_i)² + λ_u Σ b_u² + λ_i Σ b_i² by alternating least squares.

    Parameters
    ----------
    user_regularisation, item_regularisation : float
        λ_u and λ_i, at least 0: each counts as so many ratings without an offset.
    num_sweeps : int
        Alternations of users and items.
    """

    user_regularisation: float = 5.0
    item_regularisation: float = 2.0
    num_sweeps: int = 20
    ratings_: Ratings = field(init=False, repr=False)
    mean_: float = field(init=False, repr=False)
    user_offsets_: NDArray[numpy.float64] = field(init=False, repr=False)
    item_offsets_: NDArray[numpy.float64] = field(init=False, repr=False)

    def fit(self, ratings: Ratings) -> BiasedMeans:
        """Find the offsets."""
        real("user_regularisation", self.user_regularisation, least=0)
        real("item_regularisation", self.item_regularisation, least=0)
        _check(ratings)
        learned = copy.copy(self)
        learned.ratings_ = ratings
        learned.mean_, learned.user_offsets_, learned.item_offsets_ = biased_means(
            ratings.users,
            ratings.items,
            ratings.values,
            (ratings.num_users, ratings.num_items),
            (self.user_regularisation, self.item_regularisation),
            self.num_sweeps,
        )
        self._adopt(learned)
        return self

    def predict(self, users: object, items: object) -> NDArray[numpy.float32]:
        """Predict the rating of each pair of ids."""
        users, items = self.ratings_.codes(users, items)
        offsets = self.user_offsets_[users] + self.item_offsets_[items]
        result: NDArray[numpy.float32] = (self.mean_ + offsets).astype(numpy.float32)
        return result


class MatrixFactorisation(nn.Block):  # type: ignore[misc]
    """r̂ = μ + b_u + b_i + p_u · q_i, the matrix factorisation of d2l's page, and the mean μ."""

    @numpy_semantics()
    def __init__(self, num_factors: int, num_users: int, num_items: int, mean: float) -> None:
        super().__init__()
        self.mean = mean
        self.user_factors = nn.Embedding(num_users, num_factors)
        self.item_factors = nn.Embedding(num_items, num_factors)
        self.user_bias = nn.Embedding(num_users, 1)
        self.item_bias = nn.Embedding(num_items, 1)

    @numpy_semantics()
    def forward(self, users: Array, items: Array) -> Array:
        """Predict the ratings, shape (n,), of pairs of codes, each of shape (n,)."""
        match = (self.user_factors(users) * self.item_factors(items)).sum(axis=1)
        offsets = self.user_bias(users).squeeze(1) + self.item_bias(items).squeeze(1)
        predicted: Array = self.mean + offsets + match
        return predicted


@dataclass(eq=False)
class BiasedMF(Fitted):
    """Biased matrix factorisation in Gluon, trained with Adam on single ratings.

    Parameters
    ----------
    num_factors : int
        Length of p_u and q_i.
    num_epochs, batch_size, learning_rate, learning_rate_decay, weight_decay, patience
        See `fit`, a row being a rating; the decay is on all but μ.
    init_sigma : float
        Standard deviation of the initial factors and biases.
    clip : bool
        Whether predictions are kept within the scale of the training ratings.
    devices, random_state
        See `Recommender`.
    """

    num_factors: int = 30
    num_epochs: int = 20
    batch_size: int = 4096
    learning_rate: float = 0.002
    learning_rate_decay: float = 1.0
    weight_decay: float = 1e-5
    patience: int | None = None
    init_sigma: float = 0.01
    clip: bool = True
    devices: str = "gpu"
    random_state: int = 0
    ratings_: Ratings = field(init=False, repr=False)
    net_: MatrixFactorisation = field(init=False, repr=False)
    history_: History = field(init=False, repr=False)
    scale_: tuple[float, float] = field(init=False, repr=False)

    @numpy_semantics()
    def fit(
        self,
        ratings: Ratings,
        *,
        validation: Ratings | None = None,
        on_epoch: Callable[[Epoch], None] | None = None,
    ) -> BiasedMF:
        """Train; the epoch that predicts the validation ratings best is kept."""
        whole("num_factors", self.num_factors, least=1)
        whole("random_state", self.random_state, least=0, most=MOST_SEED)
        real("init_sigma", self.init_sigma, least=0)
        settings = Settings(
            num_epochs=self.num_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            learning_rate_decay=self.learning_rate_decay,
            weight_decay=self.weight_decay,
            patience=self.patience,
        )
        _check(ratings)
        learned = copy.copy(self)
        learned.ratings_ = ratings
        learned.scale_ = float(ratings.values.min()), float(ratings.values.max())
        where = contexts(self.devices)
        mx.random.seed(self.random_state)
        mean = float(ratings.values.mean(dtype=numpy.float64))
        learned.net_ = MatrixFactorisation(
            self.num_factors, ratings.num_users, ratings.num_items, mean
        )
        learned.net_.initialize(mx.init.Normal(self.init_sigma), ctx=where)

        def validation_rmse() -> float:
            assert validation is not None
            predicted = learned._predict(validation.users, validation.items)
            return accuracy(predicted, validation.values).rmse

        learned.history_ = run_epochs(
            Run(
                learned.net_,
                _PairSteps(learned.net_, ratings, settings, where),
                settings,
                seed=self.random_state,
                validation_rmse=None if validation is None else validation_rmse,
                on_epoch=on_epoch,
            )
        )
        self._adopt(learned)
        return self

    def predict(self, users: object, items: object) -> NDArray[numpy.float32]:
        """Predict the rating of each pair of ids."""
        return self._predict(*self.ratings_.codes(users, items))

    @from_any_thread
    def _predict(self, users: Integers, items: Integers) -> NDArray[numpy.float32]:
        if not len(users):  # of which MXNet has an error that comes with the next prediction
            return numpy.empty(0, dtype=numpy.float32)
        context = contexts(self.devices)[0]
        output = self.net_(
            *(np.array(codes, dtype="int32", ctx=context) for codes in (users, items))
        )
        predicted: NDArray[numpy.float32] = output.asnumpy()
        return predicted.clip(*self.scale_) if self.clip else predicted


class _PairSteps:
    """Steps of matrix factorisation, whose rows are single ratings; see `Steps`."""

    def __init__(
        self, net: Block, ratings: Ratings, settings: Settings, contexts: Sequence[Context]
    ) -> None:
        self.net, self.ratings, self.contexts = net, ratings, contexts
        self.trainer = make_trainer(
            net.collect_params(), settings.optimizer, settings.learning_rate, settings.weight_decay
        )

    def batches(self, size: int, shuffle: numpy.random.Generator) -> Iterator[Integers]:
        order = shuffle.permutation(len(self.ratings))
        for start in range(0, len(order), size):
            yield order[start : start + size]

    def count(self, rows: Integers) -> int:
        return len(rows)

    def step(self, rows: Integers) -> list[Array]:
        users, items, values = (
            split_rows(array[rows], self.contexts)
            for array in (self.ratings.users, self.ratings.items, self.ratings.values)
        )
        pairs = list(zip(users, items))
        _, losses = update(self.net, self.trainer, _half_square, pairs, values, len(rows))
        return [2 * loss for loss in losses]

    def write_back(self) -> None:
        pass

    def state(self) -> State:
        return {"trainer": optimizer_state(self.trainer)}

    def restore(self, state: State) -> None:
        restore_optimizer(self.trainer, state["trainer"])


def _half_square(predictions: Array, ratings: Array) -> Array:
    return np.square(predictions - ratings) / 2


def _check(ratings: Ratings) -> None:
    if len(ratings) == 0:
        raise ConfigurationError("There are no ratings to train on; give at least one.")
