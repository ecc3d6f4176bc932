"""AutoRec, the model (Sedhain et al. 2015, equation 1): h(r) = f(W · g(V r + μ) + b)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar, cast

from ._arrays import Floats
from ._bounds import MOST_VALUES, real, whole
from ._mxnet import Array, Block, Context, Dense, Sequential, autograd, nn, np, numpy_semantics
from .data.scaling import Scaling
from .errors import ConfigurationError

Counts = TypeVar("Counts", Array, Floats)

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
    scaling : Scaling, optional
        How ratings go in and come out, so that f need not know their unit; by default as they are,
        as in the paper. Where outputs are added to means, the code is taken from that of a row
        without ratings, ``W (g(V r + μ) - g(μ)) + b``: such a row, and a column that had none, get
        the means, and W has no constant part by which rare columns would soon be overfitted.

    Attributes
    ----------
    encoder, decoder : Block
        V and μ, W and b.
    stretch : tuple of float
        The offset and the factor that take a bounded f to `scale`; 0 and 1 for other f.

    Raises
    ------
    ConfigurationError
        If there is no such activation, f is bounded and there is no scale, a share is not from 0
        up to 1, or a layer is larger than any array of MXNet.

    Notes
    -----
    The section's ``AutoRec`` of Dive into Deep Learning, with its parameter names where there is
    one hidden layer.
    """

    @numpy_semantics()
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
        scaling: Scaling | None = None,
    ) -> None:
        whole("num_users", num_users, least=1)
        real("dropout", dropout, least=0, below=1)
        real("input_dropout", input_dropout, least=0, below=1)
        super().__init__()
        given = num_hidden if isinstance(num_hidden, Sequence) else [num_hidden]
        sizes = [whole("num_hidden", each, least=1) for each in given]
        for one, other in zip([num_users, *sizes], [*sizes, num_users]):
            if one * other > MOST_VALUES:
                raise ConfigurationError(
                    f"A layer of {one:,} by {other:,} is larger than MXNet's largest array, of "
                    f"{MOST_VALUES:,} numbers; take fewer hidden units."
                )
        layers = [dense(size, encoder_activation) for size in sizes]
        self.encoder: Block = layers[0] if len(layers) == 1 else _chain(layers)
        self.decoder = dense(num_users, decoder_activation)
        self.dropout: Block = nn.Dropout(dropout)
        self.input_dropout: Block = nn.Dropout(input_dropout)
        self.typical_count, self.scaling = typical_count, scaling
        if scaling is not None and scale is not None:
            scale = scaling.outputs(scale)
        self.stretch = _stretch(decoder_activation, scale)

    @numpy_semantics()
    def forward(self, ratings: Array, mask: Array | None = None) -> Array:
        """Reconstruct rows of ratings: h(r) = decode(encode(r)).

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
        prediction = self.decode(self.encode(ratings, mask))
        if self.scaling is not None:
            prediction = self._unscaled(prediction, ratings, mask)
        if autograd.is_training():
            return prediction * (np.sign(ratings) if mask is None else mask)
        return prediction

    @numpy_semantics()
    def encode(self, ratings: Array, mask: Array | None = None) -> Array:
        """Return the codes g(V r + μ) of rows, shape (batch, hidden units of the last layer)."""
        code = self.encoder(self.input_dropout(self.normalise(ratings, mask)))
        return self.dropout(self._from_empty(code))

    @numpy_semantics()
    def decode(self, code: Array) -> Array:
        """Return the outputs f(W c + b) from codes, shape (batch, num_users)."""
        return self._stretched(self.decoder(code))

    # The two halves of encode and decode, for those who compute the large products V r and W c
    # at rated cells only.

    def code(self, sums: Array) -> Array:
        """Return codes from the sums V r: g(V r + μ), and what deeper layers make of it."""
        return self.activated(sums + self.layers[0].bias.data(sums.ctx))

    def activated(self, sums: Array) -> Array:
        """Return codes from V r + μ: g of it, and what deeper layers make of it."""
        return self.dropout(self._from_empty(self._whole_code(sums)))

    def rating(self, sums: Array, baseline: Array | None = None) -> Array:
        """Return predictions from the sums W c + b at any cells, of any shape.

        Parameters
        ----------
        sums : ndarray of float32
        baseline : ndarray of float32, of the same shape
            Where there is a scaling: what it adds the outputs to.
        """
        output = self._stretched(sums if self.decoder.act is None else self.decoder.act(sums))
        return output if baseline is None else baseline + self.output_spread * output

    @property
    def drops_input(self) -> bool:
        """Whether training drops some of the ratings that go in."""
        return bool(getattr(self.input_dropout, "_rate", 1.0) > 0)

    @property
    def gives_sums(self) -> bool:
        """Whether `rating` returns the sums as they are, where there is no scaling."""
        return self.decoder.act is None and self.stretch == (0.0, 1.0)

    # Gluon's own methods make and take arrays of the kind that the thread is set to.
    initialize = numpy_semantics()(nn.Block.initialize)
    load_parameters = numpy_semantics()(nn.Block.load_parameters)
    save_parameters = numpy_semantics()(nn.Block.save_parameters)

    def normalise(self, ratings: Array, mask: Array | None = None) -> Array:
        """Return rows as they go in: scaled, and each times its `row_factors`."""
        if self.typical_count is None and self.scaling is None:
            return ratings
        mask = np.abs(np.sign(ratings)) if mask is None else mask
        rows = ratings
        if self.scaling is not None:
            offset, by_biases, spread, shift = self.scaling.going_in
            biases = self._biases(ratings, mask) if by_biases else 0.0
            rows = ((ratings - offset - biases) / spread + shift) * mask
        if self.typical_count is None:
            return rows
        counts = mask.sum(axis=1, keepdims=True)
        return rows * self.row_factors(np.maximum(counts, 1))

    def row_factors(self, counts: Counts) -> Counts | float:
        """Return the factors of rows with n ratings, n at least 1: sqrt(typical_count / n)."""
        return 1.0 if self.typical_count is None else (self.typical_count / counts) ** 0.5

    @property
    def layers(self) -> list[Dense]:
        """The encoder's dense layers, first to last; one in the paper's model."""
        single = hasattr(self.encoder, "weight")
        return list(cast("Iterable[Dense]", [self.encoder] if single else self.encoder))

    def empty_code(self, ctx: Context) -> Array:
        """Return what codes are taken from, g(μ) or 0, shape (1, units of the last layer)."""
        first, last = self.layers[0], self.layers[-1]
        if self.scaling is None or self.scaling.ratings_out == "raw":
            return np.zeros((1, *last.bias.shape), ctx=ctx)
        return self._whole_code(np.zeros((1, *first.bias.shape), ctx=ctx) + first.bias.data(ctx))

    def _from_empty(self, code: Array) -> Array:
        if self.scaling is None or self.scaling.ratings_out == "raw":
            return code
        return code - self.empty_code(code.ctx)

    def _whole_code(self, sums: Array) -> Array:
        first, *others = self.layers
        code = sums if first.act is None else first.act(sums)
        for layer in others:
            code = layer(code)
        return code

    @property
    def output_spread(self) -> float:
        """How far a change of the output by 1 changes a prediction."""
        return 1.0 if self.scaling is None else self.scaling.coming_out[-1]

    def _unscaled(self, outputs: Array, ratings: Array, mask: Array | None) -> Array:
        assert self.scaling is not None
        if self.scaling.ratings_out == "raw":
            return outputs
        mask = np.abs(np.sign(ratings)) if mask is None else mask
        offset, by_biases, spread = self.scaling.coming_out
        baseline = offset + (self._biases(ratings, mask) if by_biases else 0.0)
        # Of a row or a column without ratings the net has learned nothing.
        known = np.minimum(mask.sum(axis=1, keepdims=True), 1)
        known = known * self._columns("rated_columns", mask)
        return baseline + spread * known * outputs

    def _biases(self, ratings: Array, mask: Array) -> Array:
        """Return b + c of every cell, see `Scaling`."""
        assert self.scaling is not None
        columns = self._columns("column_biases", ratings)
        rest = ((ratings - self.scaling.mean - columns) * mask).sum(axis=1, keepdims=True)
        return rest / (mask.sum(axis=1, keepdims=True) + self.scaling.damping) + columns

    def _columns(self, name: str, like: Array) -> Array:
        return np.array(getattr(self.scaling, name), ctx=like.ctx)

    def _stretched(self, outputs: Array) -> Array:
        offset, factor = self.stretch
        return outputs if self.stretch == (0.0, 1.0) else offset + factor * outputs


def dense(size: int, activation: str) -> Dense:
    """Return a dense layer with an activation of `ACTIVATIONS`."""
    if activation not in ACTIVATIONS:
        raise ConfigurationError(
            f"There is no activation {activation!r}; choose one of {', '.join(ACTIVATIONS)}."
        )
    layer: Dense = nn.Dense(size, activation=None if activation == "identity" else activation)
    return layer


def _chain(layers: Sequence[Dense]) -> Sequential:
    if not layers:
        raise ConfigurationError("An encoder needs a hidden layer; give num_hidden a size.")
    chain: Sequential = nn.HybridSequential()
    chain.add(*layers)
    return chain


def _stretch(activation: str, scale: tuple[float, float] | None) -> tuple[float, float]:
    """Return the offset and the factor that take a bounded activation to the rating scale."""
    bounds = ACTIVATIONS[activation]
    if bounds is None:
        return 0.0, 1.0
    if scale is None:
        raise ConfigurationError(
            f"The decoder's {activation} is bounded; give the scale of the ratings to stretch it."
        )
    factor = (scale[1] - scale[0]) / (bounds[1] - bounds[0])
    return scale[0] - factor * bounds[0], factor
