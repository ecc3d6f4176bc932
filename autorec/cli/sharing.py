"""Sharing: what the workers of a job have in common, rows of a batch or columns of the net."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..distributed.roles import KVStoreName, Parallel
from ..errors import ConfigurationError
from ..recommender.presets import Parameters, why_not_by_columns
from .source import Source

if TYPE_CHECKING:
    from ..distributed.workers import Workers


def why_not_columns(parameters: Parameters, source: Source, parts_have_a_place: bool) -> str | None:
    """Return why the workers of a job cannot share columns, and the way out; None if they can."""
    reason = why_not_by_columns(parameters)
    if reason is not None:
        way = "name the file that was split" if source.is_split else "train with --parallel rows"
        return f"Workers that own columns train {reason}, or {way}."
    if not parts_have_a_place:
        return (
            "Workers that own columns each write a part of a checkpoint; name the folder of the "
            "run with --output."
        )
    return None


def asked_to_share(
    kvstore: KVStoreName | None, parallel: Parallel | None, source: Source, reason: str | None
) -> Parallel | None:
    """Return what workers are to share as far as the options say it; rows for a run by itself.

    Raises
    ------
    ConfigurationError
        If that cannot be.
    """
    if kvstore is None:
        if parallel == "columns":
            raise ConfigurationError("--parallel columns is for the workers of a job; see launch.")
        return "rows"
    if source.is_split:
        if parallel == "rows":
            raise ConfigurationError(
                f"{source.ratings} was split by columns; name the file itself to share rows."
            )
        parallel = "columns"
    if parallel == "columns" and reason is not None:
        raise ConfigurationError(reason)
    return parallel


def joined(
    kvstore: KVStoreName, parallel: Parallel | None, parameters: Parameters, by_rows: bool
) -> tuple[Parallel, Workers]:
    """Join the other workers of a job, and settle with them what all share.

    Where nothing is said that is rows if one of them has reasons for it, such as several devices;
    a run that is resumed without a word on it is of a release before there was a choice.
    """
    from ..compute.choice import has_kernels
    from ..compute.devices import contexts
    from ..distributed.workers import Workers

    workers = Workers.join(kvstore)
    workers.check_alike({"parallel": parallel, **vars(parameters), "devices": None})
    if parallel is None:
        # Rated cells alone were measured on one CPU, with kernels.
        devices = contexts(parameters.devices)
        one_cpu = len(devices) == 1 and devices[0].device_type == "cpu" and has_kernels()
        parallel = "rows" if workers.sums([float(by_rows or not one_cpu)])[0] else "columns"
    return parallel, workers
