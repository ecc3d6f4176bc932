"""Pretraining: the layers of a deep AutoRec, one pair after the other (the paper, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from .._arrays import Floats, Integers
from .._mxnet import Array, Context, Dense, Sequential, autograd, mx, nn, np, numpy_semantics
from ..data.interactions import Interactions
from ..data.scaling import Scaling
from ..errors import ConfigurationError
from ..model import AutoRec, dense
from .loop import fit
from .optimizer import make_trainer
from .steps import squared_error


@numpy_semantics()
def pretrain(
    sizes: Sequence[int],
    train: Interactions,
    *,
    num_epochs: int,
    encoder_activation: str = "sigmoid",
    decoder_activation: str = "identity",
    scale: tuple[float, float] | None = None,
    typical_count: float | None = None,
    scaling: Scaling | None = None,
    code_epochs: int = 300,
    code_learning_rate: float = 0.003,
    contexts: Sequence[Context],
    seed: int = 0,
    **options: Any,
) -> dict[str, Array]:
    """Train each pair of layers of a deep AutoRec as an autoencoder of its own.

    The outermost pair is an AutoRec of one hidden layer. Each further pair reconstructs all hidden
    codes of the pair around it.

    Parameters
    ----------
    sizes : sequence of int
        Hidden units of the deep net, which read the same backwards: 500, 250, 500 for example.
    train : Interactions
    num_epochs : int
        Passes over the ratings for the outermost pair.
    encoder_activation, decoder_activation, scale, typical_count, scaling
        See the deep `AutoRec`.
    code_epochs, code_learning_rate
        Passes over the hidden codes for each further pair, and Adam's learning rate.
    contexts : sequence of Context
        The further pairs are trained on the first.
    seed : int
    **options
        For `fit`, which trains the outermost pair.

    Returns
    -------
    dict of str to ndarray
        Values for the parameters of ``AutoRec(sizes, ...)``, to hand to `fit` as ``start``.

    Raises
    ------
    ConfigurationError
        If the sizes are not those of a symmetric encoder of at least three layers.
    """
    count = len(sizes)
    if count < 3 or count % 2 == 0 or list(sizes) != list(sizes)[::-1]:
        raise ConfigurationError(
            f"Hidden layers {', '.join(map(str, sizes))} cannot be pretrained in pairs; give sizes "
            "that read the same backwards, such as 500, 250, 500, or do without pretraining."
        )
    outer = AutoRec(
        sizes[0],
        train.shape[1],
        0.0,
        encoder_activation=encoder_activation,
        decoder_activation=decoder_activation,
        scale=scale,
        typical_count=typical_count,
        scaling=scaling,
    )
    options = {**options, "num_epochs": num_epochs, "patience": None}
    fit(outer, train, contexts=contexts, seed=seed, **options)
    start = {**_values("encoder.0", outer.layers[0]), **_values("decoder", outer.decoder)}
    rows = train.rated_rows()
    hidden = numpy.concatenate(
        [
            _hidden(outer, train, part, contexts[0])
            for part in numpy.array_split(rows, max(len(rows) // 1024, 1))
        ]
    )
    for depth in range(1, count // 2 + 1):
        encoder, decoder, hidden = _pair(
            hidden,
            sizes[depth],
            encoder_activation,
            code_epochs,
            code_learning_rate,
            contexts[0],
            seed,
        )
        start.update(_values(f"encoder.{depth}", encoder))
        start.update(_values(f"encoder.{count - depth}", decoder))
    return start


def _hidden(net: AutoRec, train: Interactions, rows: Integers, context: Context) -> Floats:
    ratings, mask = (np.array(each(rows), ctx=context) for each in (train.dense, train.mask))
    return net.encoder(net.normalise(ratings, mask)).asnumpy()


def _pair(
    hidden: Floats,
    size: int,
    activation: str,
    epochs: int,
    rate: float,
    context: Context,
    seed: int,
) -> tuple[Dense, Dense, Floats]:
    """Train an autoencoder of hidden codes; return its two layers and the codes between them."""
    encoder, decoder = dense(size, activation), dense(hidden.shape[1], activation)
    net: Sequential = nn.Sequential()
    net.add(encoder, decoder)
    net.initialize(mx.init.Xavier(), ctx=context)
    trainer = make_trainer(net.collect_params(), "adam", rate, 0.0)
    shuffle = numpy.random.default_rng(seed)
    for _ in range(epochs):
        order = shuffle.permutation(len(hidden))
        for part in numpy.array_split(order, max(len(hidden) // 256, 1)):
            batch = np.array(hidden[part], ctx=context)
            with autograd.record():
                loss = squared_error(net(batch), batch)
            loss.backward()
            trainer.step(len(part))
    return encoder, decoder, encoder(np.array(hidden, ctx=context)).asnumpy()


def _values(name: str, layer: Dense) -> dict[str, Array]:
    return {
        f"{name}.{kind}": getattr(layer, kind).list_data()[0].copy() for kind in ("weight", "bias")
    }
