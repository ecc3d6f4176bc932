"""Formula: what a trained net computes, in numbers and names that need no MXNet."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.scaling import Scaling
from ..evaluation.ensemble import Member


class Formula(NamedTuple):
    """The layers one after the other, then offset + factor · x.

    Parameters
    ----------
    weights : dict of str to ndarray of float32
        "weight0" and "bias0" of the first layer, and so on.
    activations : list of str
        Of each layer, by the names that `AutoRec` takes.
    stretch : tuple of float
        The offset and the factor.
    scaling : Scaling or None
        What ratings go through before, and the outputs after; None where they stay as they are.
    typical_count : float or None
        That of the rows which are weighed before the first layer; None where they go in as they
        are.
    inputs : list of str
        "ratings", and "mask" where the rated cells are not those other than 0, and it matters.
    """

    weights: dict[str, NDArray[np.float32]]
    activations: list[str]
    stretch: tuple[float, float]
    scaling: Scaling | None
    typical_count: float | None
    inputs: list[str]

    @property
    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The weights, and with a scaling what it has by column."""
        if self.scaling is None:
            return self.weights
        used = {
            "column_biases": self.scaling.biased,
            "rated_columns": self.scaling.ratings_out != "raw",
        }
        return {**self.weights, **{n: getattr(self.scaling, n) for n in used if used[n]}}


def formula(member: Member) -> Formula:
    """Return what a net computes."""
    net = member.net
    weights, activations = {}, []
    for n, layer in enumerate([*net.layers, net.decoder]):
        weights[f"weight{n}"] = layer.weight.list_data()[0].asnumpy()
        weights[f"bias{n}"] = layer.bias.list_data()[0].asnumpy()
        activations.append("identity" if layer.act is None else layer.act._act_type)
    # That codes are taken from that of an empty row is a matter of the last layer's constants.
    last = f"{len(activations) - 1}"
    empty = net.empty_code(net.decoder.weight.list_ctx()[0]).asnumpy()[0]
    weights[f"bias{last}"] = weights[f"bias{last}"] - weights[f"weight{last}"] @ empty
    counted = net.typical_count is not None or net.scaling is not None
    masked = counted and not member.inputs.positive
    return Formula(
        weights,
        activations,
        net.stretch,
        net.scaling,
        net.typical_count,
        ["ratings", "mask"] if masked else ["ratings"],
    )
