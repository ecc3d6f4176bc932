"""AutoRec in PyTorch, eager mode, as one writes it there: whole rows, masked by their sign."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy
import torch
from torch import nn

from autorec.data.interactions import Interactions

#: Up to so many bytes the matrix is kept as one array, and a batch is taken from that.
WHOLE = 1e9


class AutoRec(nn.Module):
    """A sigmoid encoder, dropout and a linear decoder, masked: 0 at unrated cells."""

    def __init__(self, num_hidden: int, num_columns: int, dropout: float) -> None:
        super().__init__()
        self.encoder = nn.Linear(num_columns, num_hidden)
        self.decoder = nn.Linear(num_hidden, num_columns)
        self.dropout = nn.Dropout(dropout)
        for layer in (self.encoder, self.decoder):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, ratings: Any) -> Any:
        """Reconstruct the rated cells of rows (batch, columns)."""
        code = torch.sigmoid(self.encoder(ratings))
        return self.decoder(self.dropout(code)) * torch.sign(ratings)


def fit(
    net: AutoRec,
    train: Interactions,
    *,
    num_epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    seed: int = 0,
) -> list[dict[str, float]]:
    """Train as `autorec.fit` does with the loss "sum", the rows in the same order.

    Returns
    -------
    list of dict
        For each epoch "seconds", of which the optimizer's, "optimizer", and "train_rmse".
    """
    torch.manual_seed(seed)
    shuffle = numpy.random.default_rng(seed)
    rows, columns = train.shape
    whole = torch.from_numpy(train.matrix.toarray()) if 4 * rows * columns <= WHOLE else None
    optimizer = torch.optim.Adam(
        net.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True
    )
    epochs: list[dict[str, float]] = []
    for _ in range(num_epochs):
        squared_error = stepping = 0.0
        started = time.perf_counter()
        for batch in train.batches(batch_size, shuffle):
            ratings = torch.from_numpy(train.dense(batch)) if whole is None else whole[batch]
            errors = (net(ratings) - ratings).square().sum()
            optimizer.zero_grad()
            (errors / len(batch)).backward()
            before = time.perf_counter()
            optimizer.step()
            stepping += time.perf_counter() - before
            squared_error += errors.item()
        seconds = time.perf_counter() - started
        rmse = math.sqrt(squared_error / len(train))
        epochs.append({"seconds": seconds, "optimizer": stepping, "train_rmse": rmse})
    return epochs
