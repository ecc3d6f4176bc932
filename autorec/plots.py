"""Plots: what a run looks like, without touching pyplot's global state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

if TYPE_CHECKING:
    import pandas as pd

    from .history import History


def learning_curve(history: History, title: str = "AutoRec") -> Figure:
    """Draw the train, validation and test RMSE of each epoch, as far as they are known.

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
        ("validation_rmse", "validation", "#c8641e"),
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
    _plain(axes)
    return figure


def rmse_by_hidden_units(table: pd.DataFrame) -> Figure:
    """Draw the test RMSE against the number of hidden units, with its interval.

    Parameters
    ----------
    table : DataFrame
        Columns model (which begins with the number), rmse and interval; see
        `autorec.experiments.summarise`.
    """
    sizes = [int(model.split()[0]) for model in table["model"]]
    figure = Figure(figsize=(6, 4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.errorbar(
        sizes,
        table["rmse"],
        yerr=table["interval"].fillna(0),
        color="#1f5fa8",
        marker="o",
        markersize=3,
        linewidth=1.8,
        capsize=3,
    )
    axes.set(xlabel="hidden units", ylabel="test RMSE", title="I-AutoRec on MovieLens-1M")
    _plain(axes)
    return figure


def _plain(axes: Any) -> None:
    axes.grid(axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
