"""AutoRec, the model (Sedhain et al. 2015, equation 1)."""

from __future__ import annotations

from typing import Any

from ._mxnet import autograd, nn, np


class AutoRec(nn.Block):  # type: ignore[misc]
    """An autoencoder of rating rows: h(r) = f(W · g(V r + μ) + b).

    g is the sigmoid, f the identity. V and μ are `encoder`, W and b are `decoder`.

    Parameters
    ----------
    num_hidden : int
        Hidden units, the length of the code g(V r + μ).
    num_users : int
        The length of a row r: users in the item view, items in the user view.
    dropout : float
        The share of the code that is dropped while training, from 0 up to 1.

    Notes
    -----
    The section's ``AutoRec`` of Dive into Deep Learning, with its parameter names.
    """

    def __init__(self, num_hidden: int, num_users: int, dropout: float = 0.05) -> None:
        super().__init__()
        self.encoder = nn.Dense(num_hidden, activation="sigmoid")
        self.decoder = nn.Dense(num_users)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ratings: Any, mask: Any | None = None) -> Any:
        """Reconstruct rows of ratings.

        Parameters
        ----------
        ratings : ndarray of float32, shape (batch, num_users)
            0 where there is no rating.
        mask : ndarray of float32, shape (batch, num_users), optional
            1 at rated cells, 0 elsewhere; by default the sign of `ratings`, which is that where
            every rating is above 0.

        Returns
        -------
        ndarray of float32, shape (batch, num_users)
            Predictions for every cell; while training, 0 at unrated cells, so that these get no
            gradient.
        """
        prediction = self.decoder(self.dropout(self.encoder(ratings)))
        if autograd.is_training():
            return prediction * (np.sign(ratings) if mask is None else mask)
        return prediction
