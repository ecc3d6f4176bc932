"""The model and the evaluator that the section's reader writes beside d2l's functions.

They do what the section's cells do, step by step; autorec's own are in the library.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mxnet import autograd, gluon, np
from mxnet.gluon import nn


class AutoRec(nn.Block):  # type: ignore[misc]
    """A sigmoid encoder, dropout and a linear decoder; masked by the input's sign in training."""

    def __init__(self, num_hidden: int, num_users: int, dropout: float = 0.05) -> None:
        super().__init__()
        self.encoder = nn.Dense(num_hidden, activation="sigmoid")
        self.decoder = nn.Dense(num_users)
        self.dropout = nn.Dropout(dropout)

    def forward(self, rows: Any) -> Any:
        """Reconstruct rows of ratings, an ndarray of shape (batch, num_users)."""
        reconstruction = self.decoder(self.dropout(self.encoder(rows)))
        return reconstruction * np.sign(rows) if autograd.is_training() else reconstruction


def evaluator(
    network: Any, inter_matrix: Iterable[Any], test_data: Any, devices: Sequence[Any]
) -> float:
    """Return the test RMSE the section's way: every row apart, then all cells as one array."""
    outputs: list[Any] = []
    for batch in inter_matrix:
        parts = gluon.utils.split_and_load(batch, devices, even_split=False)
        outputs.extend(network(part).asnumpy() for part in parts)
    reconstructions = np.array([row for output in outputs for row in output])
    rated = np.sign(test_data)
    errors = test_data - rated * reconstructions
    return float(np.sqrt(np.sum(np.square(errors)) / np.sum(rated)))
