"""Bayesian factorisation, by Gibbs sampling: the strongest opponent, and myFM's, not ours."""

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.metadata
import importlib.util
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal, get_args

import numpy
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack, identity

from .._arrays import Integers
from .._bounds import MOST_SEED, whole
from .._fitted import Fitted
from ..data.ratings import Ratings
from ..errors import ConfigurationError
from .predictor import check_ratings

Likelihood = Literal["regression", "probit"]

#: Different ratings that an ordered probit tells apart, at most.
MOST_LEVELS = 20


@dataclass(eq=False)
class BayesianMF(Fitted):
    """Bayesian matrix factorisation (Salakhutdinov and Mnih 2008), or SVD++ (Koren 2008).

    A factorisation machine whose samples are myFM's, see the extra "compare". With nothing tuned
    it is hard to beat (Rendle, Zhang and Koren 2019).

    Parameters
    ----------
    implicit : bool
        Whether the features of a user have the items that the user rated, and those of an item its
        users, each list weighted by its length to the power -1/2: SVD++, "flipped" as well.
    rank : int
        Length of the factors.
    num_samples : int
        Of the posterior, all of which are kept: each takes 8 (rank + 1) bytes for a user and for an
        item, twice that if `implicit`.
    likelihood : {"regression", "probit"}
        Normal errors, or an ordered probit, for at most `MOST_LEVELS` different ratings.
    clip : bool
        Whether predictions are kept within the scale of the training ratings.
    random_state : int
    """

    implicit: bool = False
    rank: int = 10
    num_samples: int = 512
    likelihood: Likelihood = "regression"
    clip: bool = True
    random_state: int = 0
    ratings_: Ratings = field(init=False, repr=False)
    machine_: Any = field(init=False, repr=False)
    levels_: NDArray[numpy.float64] = field(init=False, repr=False)
    features_: tuple[csr_matrix, csr_matrix] = field(init=False, repr=False)

    def fit(self, ratings: Ratings) -> BayesianMF:
        """Sample.

        Raises
        ------
        ConfigurationError
            If a parameter is out of its bounds, myFM is missing, or there are too many different
            ratings for a probit.
        """
        whole("rank", self.rank, least=1)
        whole("num_samples", self.num_samples, least=1)
        whole("random_state", self.random_state, least=0, most=MOST_SEED)
        if self.likelihood not in get_args(Likelihood):
            raise ConfigurationError(
                f"likelihood must be 'regression' or 'probit', not {self.likelihood!r}."
            )
        check_ratings(ratings)
        levels, classes = numpy.unique(ratings.values, return_inverse=True)
        if self.likelihood == "probit" and len(levels) > MOST_LEVELS:
            raise ConfigurationError(
                f"A probit of {len(levels)} different ratings takes too long; choose the "
                "likelihood 'regression'."
            )
        myfm = import_myfm()
        learned = copy.copy(self)
        learned.ratings_, learned.levels_ = ratings, levels.astype(numpy.float64)
        learned.features_ = _features(ratings, self.implicit)
        probit = self.likelihood == "probit"
        machine = myfm.MyFMOrderedProbit if probit else myfm.MyFMRegressor
        sizes = ratings.num_users, ratings.num_items
        groups = [sizes[0], sizes[1], sizes[1], sizes[0]] if self.implicit else list(sizes)
        # Its seeds have 31 bits; its progress goes to stderr.
        learned.machine_ = machine(self.rank, random_seed=self.random_state % 2**31)
        with contextlib.redirect_stderr(io.StringIO()):
            learned.machine_.fit(
                None,
                classes if probit else learned._to_unit(ratings.values),
                X_rel=learned._blocks(ratings.users, ratings.items),
                n_iter=self.num_samples,
                n_kept_samples=self.num_samples,
                group_shapes=groups,
            )
        self._adopt(learned)
        return self

    def predict(self, users: object, items: object) -> NDArray[numpy.float32]:
        """Predict the rating of each pair of ids, the mean over the samples."""
        users, items = self.ratings_.codes(users, items)
        if not len(users):
            return numpy.empty(0, dtype=numpy.float32)
        blocks = self._blocks(users, items)
        if self.likelihood == "probit":
            predicted = self.machine_.predict_proba(None, blocks) @ self.levels_
        else:
            predicted = self._from_unit(self.machine_.predict(None, blocks))
        if self.clip:
            predicted = predicted.clip(self.levels_[0], self.levels_[-1])
        result: NDArray[numpy.float32] = predicted.astype(numpy.float32)
        return result

    def _blocks(self, users: Integers, items: Integers) -> list[Any]:
        """Return what pairs of codes have for features, those of a user or item told once."""
        block = import_myfm().RelationBlock
        return [
            block(codes.astype(numpy.int64), features)
            for codes, features in zip((users, items), self.features_)
        ]

    def _to_unit(self, values: NDArray[numpy.float32]) -> NDArray[numpy.float64]:
        """Return ratings in spreads from their mean, for which the priors of myFM are."""
        mean, spread = self._place
        result: NDArray[numpy.float64] = (values - mean) / spread
        return result

    def _from_unit(self, values: NDArray[numpy.float64]) -> NDArray[numpy.float64]:
        mean, spread = self._place
        return mean + spread * values

    @property
    def _place(self) -> tuple[float, float]:
        values = self.ratings_.values.astype(numpy.float64)
        return float(values.mean()), float(values.std()) or 1.0


def _features(ratings: Ratings, implicit: bool) -> tuple[csr_matrix, csr_matrix]:
    """Return the features of each user and of each item."""
    users = identity(ratings.num_users, format="csr")
    items = identity(ratings.num_items, format="csr")
    if implicit:
        ones = numpy.ones(len(ratings))
        shape = ratings.num_users, ratings.num_items
        rated = csr_matrix((ones, (ratings.users, ratings.items)), shape=shape)
        users = hstack([users, _weighted(rated)])
        items = hstack([items, _weighted(rated.T.tocsr())])
    return csr_matrix(users), csr_matrix(items)


def _weighted(lists: csr_matrix) -> csr_matrix:
    """Return lists of ones, each weighted by its length to the power -1/2."""
    lengths = numpy.diff(lists.indptr)
    weights = numpy.repeat(1 / numpy.sqrt(numpy.maximum(lengths, 1)), lengths)
    return csr_matrix((weights, lists.indices, lists.indptr), shape=lists.shape)


def import_myfm() -> ModuleType:
    """Import myFM, with what it lacks put back.

    Raises
    ------
    ConfigurationError
        If it is missing, or cannot be imported.
    """
    try:
        with _pkg_resources():
            return importlib.import_module("myfm")
    except ImportError as error:
        way_out = (
            "pip install 'gluon-autorec[compare]'"
            if sys.version_info < (3, 12)
            else "its releases for NumPy 1 end with Python 3.11, so take that"
        )
        raise ConfigurationError(f"Bayesian models need myFM ({error}): {way_out}.") from error


@contextlib.contextmanager
def _pkg_resources() -> Iterator[None]:
    """Let importlib.metadata stand in for what left setuptools with its release 82.

    myFM 0.3 asks it for its own version.
    """
    if "myfm" in sys.modules or importlib.util.find_spec("pkg_resources") is not None:
        yield
        return
    stand_in = ModuleType("pkg_resources")
    vars(stand_in).update(
        get_distribution=importlib.metadata.distribution,
        DistributionNotFound=importlib.metadata.PackageNotFoundError,
    )
    sys.modules["pkg_resources"] = stand_in
    try:
        yield
    finally:
        del sys.modules["pkg_resources"]
