"""Ranking: how good the first k recommendations are, and the order of predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .._arrays import Floats, Integers
from ..errors import ConfigurationError


@dataclass(frozen=True)
class Ranking:
    """Means over `users`, those with a relevant item; `coverage` is over items."""

    precision: float
    recall: float
    ndcg: float
    coverage: float
    users: int
    k: int


def ranking(recommended: Integers, relevant: csr_matrix) -> Ranking:
    """Compare lists of recommendations with the items that are relevant to users.

    precision@k = hits / k, recall@k = hits / relevant items, and NDCG@k = Σ hit_j / log2(1 + j)
    over that of the best list, j the place from 1 (Järvelin & Kekäläinen 2002). Coverage is the
    share of all items that is recommended to anybody.

    Parameters
    ----------
    recommended : ndarray of int, shape (num_users, k)
        Each user's items, best first; -1 where a list is shorter.
    relevant : csr_matrix, shape (num_users, num_items)
        The stored cells are the relevant ones. Users without any are left out of the means.

    Raises
    ------
    ConfigurationError
        If nobody has a relevant item.
    """
    num_users, k = recommended.shape
    sizes = np.diff(relevant.indptr)
    counted = sizes > 0
    if not counted.any():
        raise ConfigurationError(
            "No test rating is high enough to count as relevant; lower `relevant`."
        )
    num_items = relevant.shape[1]
    users = np.arange(num_users, dtype=np.int64)
    wanted = np.repeat(users, sizes) * num_items + relevant.indices
    hits = np.isin(users[:, None] * num_items + recommended, wanted) & (recommended >= 0)
    gains = 1 / np.log2(2 + np.arange(k))
    ideal = np.cumsum(gains)[np.minimum(sizes, k)[counted] - 1]
    found = hits[counted].sum(axis=1)
    return Ranking(
        precision=float((found / k).mean()),
        recall=float((found / sizes[counted]).mean()),
        ndcg=float(((hits[counted] * gains).sum(axis=1) / ideal).mean()),
        coverage=len(np.unique(recommended[recommended >= 0])) / num_items,
        users=int(counted.sum()),
        k=k,
    )


def held_out_ndcg(users: Integers, predictions: Floats, ratings: Floats, k: int = 10) -> float:
    """Return how well predictions order what each user has rated, a mean over users.

    NDCG@k of a user's held-out ratings: gains are how far ratings lie above the lowest of all of
    them, and of equal predictions each has the mean gain of these. Nothing is asked of items that
    nobody is known to like or not.

    Parameters
    ----------
    users : ndarray of int, shape (n,)
        Codes.
    predictions, ratings : ndarray of float, shape (n,)
    k : int
        Places that count.

    Returns
    -------
    float
        From 0 to 1; NaN where nobody has two ratings that differ.
    """
    gains = np.asarray(ratings, dtype=np.float64) - ratings.min()
    ideal = _discounted(users, gains, gains, k)
    found = _discounted(users, np.asarray(predictions, dtype=np.float64), gains, k)
    highest, lowest = np.zeros(len(ideal)), np.full(len(ideal), np.inf)
    np.maximum.at(highest, users, gains)
    np.minimum.at(lowest, users, gains)
    counted = highest > lowest
    return float((found[counted] / ideal[counted]).mean()) if counted.any() else float("nan")


def _discounted(
    users: Integers, keys: NDArray[np.float64], gains: NDArray[np.float64], k: int
) -> NDArray[np.float64]:
    """Return for each user the discounted gains of the k highest keys."""
    order = np.lexsort((-keys, users))
    users, keys, gains = users[order], keys[order], gains[order]
    first = np.append(True, users[1:] != users[:-1])
    place = np.arange(len(users)) - np.flatnonzero(first)[np.cumsum(first) - 1]
    alike = np.cumsum(first | np.append(True, keys[1:] != keys[:-1])) - 1
    gains = (np.bincount(alike, weights=gains) / np.bincount(alike))[alike]
    parts = np.where(place < k, gains / np.log2(2 + place), 0.0)
    sums: NDArray[np.float64] = np.bincount(users, weights=parts).astype(np.float64, copy=False)
    return sums
