"""Distributed: the processes of a job over several machines, and what its workers add up.

Imports data's errors and MXNet; only training and what is built on it import this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import imported_when_used

if TYPE_CHECKING:
    from .roles import Role as Role
    from .workers import Workers as Workers

__all__ = ["Role", "Workers"]

__getattr__ = imported_when_used(__name__, {"roles": ("Role",), "workers": ("Workers",)})
