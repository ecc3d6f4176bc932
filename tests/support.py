"""What tests share: how often an attack is repeated, and how far sums may differ."""

from __future__ import annotations

import pytest

#: Relative: how far sums of the same few hundred float32 may lie apart when they are added up in
#: another order, as in batches of another shape, on another device or by another kernel.
ROUNDING = 1e-5


def times(few: int, many: int) -> pytest.MarkDecorator:
    """Give a test the parameter `times`: `few` in ``make test``, `many` in ``make soak``."""
    return pytest.mark.parametrize(
        "times",
        [pytest.param(few, id="few"), pytest.param(many, id="soak", marks=pytest.mark.soak)],
    )
