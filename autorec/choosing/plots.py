"""Plots of a search and of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy
import pandas as pd

from ..data import View
from ..plots import new_figure, plain_axes
from .space import Between, Searched

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .comparison import Comparison

_VIEWS = {"item": "#1f5fa8", "user": "#b8530f"}
_STATES: dict[str, dict[str, Any]] = {
    "pruned": {"marker": "x", "linewidths": 0.8, "alpha": 0.5},
    "complete": {"marker": "o"},
}


def tuning(
    trials: pd.DataFrame,
    importances: Mapping[View, Mapping[str, float]],
    space: Mapping[str, Searched],
    title: str,
) -> Figure:
    """Draw how a search went, and the validation RMSE by each hyperparameter, what mattered first.

    Trials that are far off are left out of the picture.

    Parameters
    ----------
    trials, importances
        See `Tuning`.
    space : mapping of str to OneOf or Between
        What was searched.
    title : str
    """

    def shares(name: str) -> dict[View, float]:
        return {view: each[name] for view, each in importances.items() if name in each}

    names = sorted(space, key=lambda name: -max(shares(name).values(), default=0.0))
    columns = 5
    rows = -(-(len(names) + 1) // columns)
    figure = new_figure(2.5 * columns, 0.6 + 2.3 * rows)
    every = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten()
    scores = trials[trials["state"] == "complete"]["validation_rmse"].astype(float)
    low, high = scores.min(), scores.quantile(0.75)
    room = max(high - low, 1e-3)
    every[0].set_ylim(low - 0.15 * room, high + 0.6 * room)
    _points(every[0], trials, trials["trial"])
    every[0].set_xlabel("trial of its view")
    for axes, name in zip(every[1:], names):
        searched = space[name]
        if isinstance(searched, Between):
            _points(axes, trials, trials[name])
            room = 0.05 * (searched.high - searched.low)
            axes.set_xlim(searched.low - room, searched.high + room)
            if searched.log:
                axes.set_xscale("log")
                axes.set_xlim(searched.low / 1.2, searched.high * 1.2)
                places = numpy.geomspace(searched.low, searched.high, 3)
                axes.set_xticks(places, [f"{float(f'{place:.2g}'):g}" for place in places])
                axes.set_xticks([], minor=True)
        else:
            place = {value: number for number, value in enumerate(searched.values)}
            _points(axes, trials, trials[name].map(place))
            axes.set_xticks(range(len(place)), searched.words)
            axes.set_xlim(-0.6, len(place) - 0.4)
        shown = ", ".join(f"{view} {share:.0%}" for view, share in shares(name).items())
        words = name.replace("_", " ")
        axes.set_xlabel(f"{words}\n{shown}" if shown else words)
    for axes in every[: len(names) + 1]:
        plain_axes(axes)
    for axes in every[len(names) + 1 :]:
        axes.set_visible(False)
    for axes in every[::columns]:
        axes.set_ylabel("validation RMSE")
    figure.suptitle(title)
    handles, labels = every[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=4, frameon=False)
    return figure


def comparison(found: Comparison) -> Figure:
    """Draw each model's test RMSE, and how far it lies from that which all are compared with.

    Parameters
    ----------
    found : Comparison
    """
    table = found.table
    places = range(len(table))
    figure = new_figure(9, 1.5 + 0.32 * len(table))
    left, right = figure.subplots(1, 2, sharey=True)
    _intervals(left, table["rmse"], table["interval"])
    left.set_xlabel("test RMSE")
    left.set_yticks(list(places), table["model"])
    left.invert_yaxis()
    differences = found.differences.set_index("model").reindex(table["model"])
    right.axvline(0, color="#767676", linewidth=1)
    _intervals(right, differences["difference"].fillna(0), differences["interval"])
    right.set_xlabel(f"less that of {found.against}, split by split")
    for axes in (left, right):
        plain_axes(axes)
        axes.grid(axis="x", alpha=0.25)
    figure.suptitle(f"{found.data}: {found.splits}, with 95 % intervals", fontsize=10)
    return figure


def _intervals(axes: Axes, means: pd.Series[float], half_widths: pd.Series[float]) -> None:
    axes.errorbar(
        means,
        range(len(means)),
        xerr=half_widths.fillna(0),
        color=_VIEWS["item"],
        fmt="o",
        markersize=4,
        capsize=3,
    )


def _points(axes: Axes, trials: pd.DataFrame, places: pd.Series[float]) -> None:
    """Draw the trials of each view, those that were pruned fainter, each at its place."""
    for view, colour in _VIEWS.items():
        for state, look in _STATES.items():
            own = (trials["view"] == view) & (trials["state"] == state)
            if own.any():
                scores = trials["validation_rmse"][own]
                label = f"{view}, {state}"
                axes.scatter(places[own], scores, s=14, color=colour, label=label, **look)
