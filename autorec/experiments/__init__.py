"""Experiments: the paper's protocol, and the tables that it is run over.

Imports the recommender and the baselines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import imported_when_used

if TYPE_CHECKING:
    from .protocol import Row as Row
    from .protocol import markdown as markdown
    from .protocol import movielens_splits as movielens_splits
    from .protocol import reproduce as reproduce
    from .protocol import run as run
    from .protocol import summarise as summarise
    from .tables import TABLES as TABLES
    from .tables import TRIED as TRIED

__all__ = [
    "TABLES",
    "TRIED",
    "Row",
    "markdown",
    "movielens_splits",
    "reproduce",
    "run",
    "summarise",
]

__getattr__ = imported_when_used(
    __name__,
    {
        "protocol": ("Row", "markdown", "movielens_splits", "reproduce", "run", "summarise"),
        "tables": ("TABLES", "TRIED"),
    },
)
