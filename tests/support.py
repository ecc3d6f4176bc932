"""What tests share: how often an attack is repeated, briefly in each run, at length in the soak."""

from __future__ import annotations

import pytest


def times(few: int, many: int) -> pytest.MarkDecorator:
    """Give a test the parameter `times`: `few` in ``make test``, `many` in ``make soak``."""
    return pytest.mark.parametrize(
        "times",
        [pytest.param(few, id="few"), pytest.param(many, id="soak", marks=pytest.mark.soak)],
    )
