"""Experiments: the paper's protocol, and the tables that it is run over.

Imports the recommender and the baselines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import imported_when_used

if TYPE_CHECKING:
    from .data import data_splits as data_splits
    from .protocol import Row as Row
    from .protocol import reproduce as reproduce
    from .protocol import run as run
    from .summary import differences as differences
    from .summary import markdown as markdown
    from .summary import results as results
    from .summary import summarise as summarise
    from .tables import DIFFERENCES as DIFFERENCES
    from .tables import TABLES as TABLES
    from .tables import TRIED as TRIED

__all__ = [
    "DIFFERENCES",
    "TABLES",
    "TRIED",
    "Row",
    "data_splits",
    "differences",
    "markdown",
    "reproduce",
    "results",
    "run",
    "summarise",
]

__getattr__ = imported_when_used(
    __name__,
    {
        "data": ("data_splits",),
        "protocol": ("Row", "reproduce", "run"),
        "summary": ("differences", "markdown", "results", "summarise"),
        "tables": ("DIFFERENCES", "TABLES", "TRIED"),
    },
)
