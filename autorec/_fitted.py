"""Fitted: what a model has once it was fitted, all of it at once, and not before."""

from __future__ import annotations

from typing import Any

from .errors import NotFittedError


class Fitted:
    """A model whose attributes that end in an underscore are what it has learned.

    It learns in a copy of itself, and takes these over when all are there: a fit that fails or is
    interrupted leaves the model as it was.
    """

    def _adopt(self, learned: Fitted) -> None:
        found = {name: value for name, value in vars(learned).items() if name.endswith("_")}
        vars(self).update(found)  # one call, which Ctrl-C does not divide

    def __getattr__(self, name: str) -> Any:
        # Only called for what is missing.
        if name.endswith("_") and not name.startswith("_"):
            way = "call fit, or load one" if hasattr(type(self), "load") else "call fit"
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet; {way}.")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
