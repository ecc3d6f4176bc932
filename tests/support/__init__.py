"""What tests share: how often an attack is repeated, how far sums may differ, where things are."""

from __future__ import annotations

from pathlib import Path

import pytest

#: Where this folder, and the project, is.
TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
#: A model and a checkpoint that 0.1.0 wrote.
FIRST_FORMAT = TESTS / "fixtures" / "format-1"
#: Relative: how far sums of the same few hundred float32 may lie apart when they are added up in
#: another order, as in batches of another shape, on another device or by another kernel.
ROUNDING = 1e-5


def times(few: int, many: int) -> pytest.MarkDecorator:
    """Give a test the parameter `times`: `few` in ``make test``, `many` in ``make soak``."""
    return pytest.mark.parametrize(
        "times",
        [pytest.param(few, id="few"), pytest.param(many, id="soak", marks=pytest.mark.soak)],
    )
