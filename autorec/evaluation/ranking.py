"""Ranking: how good the first k recommendations are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from .._arrays import Integers
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
