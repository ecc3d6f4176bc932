"""Plots: what a run looks like, without touching pyplot's global state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from .training import History


def learning_curve(history: History, title: str = "AutoRec") -> Figure:
    """Draw the train and test RMSE of each epoch.

    Parameters
    ----------
    history : History
        At least one epoch.
    title : str

    Returns
    -------
    Figure
        For ``figure.savefig(path)``; a notebook shows it by itself.
    """
    table = history.frame()
    figure = Figure(figsize=(6, 4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for column, label, colour in (
        ("train_rmse", "train", "#8a8a8a"),
        ("test_rmse", "test", "#1f5fa8"),
    ):
        series = table[column].dropna().astype(float)
        if series.empty:
            continue
        axes.plot(
            table.loc[series.index, "epoch"],
            series,
            color=colour,
            linewidth=1.8,
            marker="o",
            markersize=3,
            label=f"{label}, {series.iloc[-1]:.3f} at the end",
        )
    axes.set(xlabel="epoch", ylabel="RMSE over rated cells", title=title)
    axes.legend(frameon=False)
    axes.grid(axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
