"""AutoRec, the model (Sedhain et al. 2015, equation 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._mxnet import autograd, nn, np
from .errors import ConfigurationError
from .settings import check_settings

#: Activations by name, with the range of those that are bounded.
ACTIVATIONS = {
    "identity": None,
    "relu": None,
    "softrelu": None,
    "sigmoid": (0.0, 1.0),
    "softsign": (-1.0, 1.0),
    "tanh": (-1.0, 1.0),
}


class AutoRec(nn.Block):  # type: ignore[misc]
    """An autoencoder of rating rows: h(r) = f(W · g(V r + μ) + b).

    g is the sigmoid and f the identity by default. V and μ are `encoder`, W and b are `decoder`.

    Parameters
    ----------
    num_hidden : int or sequence of int
        Hidden units, the length of the code g(V r + μ); several for a deep encoder, whose layers
        follow one another and all have the activation g.
    num_users : int
        The length of a row r: users in the item view, items in the user view.
    dropout : float
        The share of the (last) code that is dropped while training, from 0 up to 1.
    encoder_activation, decoder_activation : str
        g and f, names of `ACTIVATIONS`.
    input_dropout : float
        The share of the row that is dropped while training. The mask is that of the whole row: the
        loss counts dropped ratings too.
    scale : tuple of float, optional
        Lowest and highest rating, to which a bounded f is stretched.
    typical_count : float, optional
        A row of n ratings goes in as r · sqrt(typical_count / n), as SVD++ (Koren 2008) weighs the
        sum over a user's items, so that long rows do not drive the code to its ends; r itself goes
        in by default, as in the paper.

    Raises
    ------
    ConfigurationError
        If there is no such activation, f is bounded and there is no scale, or a share is not from
        0 up to 1.

    Notes
    -----
    The section's ``AutoRec`` of Dive into Deep Learning, with its parameter names where there is
    one hidden layer.
    """

    def __init__(
        self,
        num_hidden: int | Sequence[int],
        num_users: int,
        dropout: float = 0.05,
        *,
        encoder_activation: str = "sigmoid",
        decoder_activation: str = "identity",
        input_dropout: float = 0.0,
        scale: tuple[float, float] | None = None,
        typical_count: float | None = None,
    ) -> None:
        super().__init__()
        check_settings({"dropout": dropout, "input_dropout": input_dropout})
        sizes = list(num_hidden) if isinstance(num_hidden, Sequence) else [int(num_hidden)]
        layers = [dense(size, encoder_activation) for size in sizes]
        self.encoder = layers[0] if len(layers) == 1 else _chain(layers)
        self.decoder = dense(num_users, decoder_activation)
        self.dropout = nn.Dropout(dropout)
        self.input_dropout = nn.Dropout(input_dropout)
        self.typical_count = typical_count
        self._stretch = _stretch(decoder_activation, scale)

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
        code = self.encoder(self.input_dropout(self.normalise(ratings, mask)))
        prediction = self.stretch(self.decoder(self.dropout(code)))
        if autograd.is_training():
            return prediction * (np.sign(ratings) if mask is None else mask)
        return prediction

    def normalise(self, ratings: Any, mask: Any | None = None) -> Any:
        """Multiply each row by its `row_factors`."""
        if self.typical_count is None:
            return ratings
        counts = np.abs(np.sign(ratings) if mask is None else mask).sum(axis=1, keepdims=True)
        return ratings * self.row_factors(np.maximum(counts, 1))

    def row_factors(self, counts: Any) -> Any:
        """Return what rows with so many ratings, at least one, are multiplied by: sqrt(c / n)."""
        return 1.0 if self.typical_count is None else (self.typical_count / counts) ** 0.5

    def rating(self, sums: Any) -> Any:
        """Return ratings from sums W c + b, whatever their shape: f of them, stretched."""
        return self.stretch(sums if self.decoder.act is None else self.decoder.act(sums))

    def stretch(self, outputs: Any) -> Any:
        """Take the range of a bounded f to the rating scale; other outputs stay as they are."""
        if self._stretch is None:
            return outputs
        offset, factor = self._stretch
        return offset + factor * outputs


def dense(size: int, activation: str) -> Any:
    """Return a dense layer with an activation of `ACTIVATIONS`."""
    if activation not in ACTIVATIONS:
        raise ConfigurationError(
            f"There is no activation {activation!r}; choose one of {', '.join(ACTIVATIONS)}."
        )
    return nn.Dense(size, activation=None if activation == "identity" else activation)


def _chain(layers: Sequence[Any]) -> Any:
    if not layers:
        raise ConfigurationError("An encoder needs a hidden layer; give num_hidden a size.")
    chain = nn.HybridSequential()
    chain.add(*layers)
    return chain


def _stretch(activation: str, scale: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return offset and factor that take the activation's range to the rating scale."""
    bounds = ACTIVATIONS[activation]
    if bounds is None:
        return None
    if scale is None:
        raise ConfigurationError(
            f"The decoder's {activation} is bounded; give the scale of the ratings to stretch it."
        )
    factor = (scale[1] - scale[0]) / (bounds[1] - bounds[0])
    return scale[0] - factor * bounds[0], factor
