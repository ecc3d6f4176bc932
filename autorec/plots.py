"""Plots: what a run looks like, without touching pyplot's global state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
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


def rmse_by_model(table: pd.DataFrame, title: str) -> Figure:
    """Draw the test RMSE of each model with its interval, beside the published figure.

    Parameters
    ----------
    table : DataFrame
        Columns model, rmse, interval and published (which begins with the figure, or is empty);
        see `autorec.experiments.summarise`.
    title : str
    """
    places = range(len(table))
    figure = Figure(figsize=(7, 1.2 + 0.32 * len(table)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.errorbar(
        table["rmse"],
        places,
        xerr=table["interval"].fillna(0),
        color="#1f5fa8",
        fmt="o",
        markersize=4,
        capsize=3,
        label="here, with the 95 % interval",
    )
    known = [(place, text) for place, text in zip(places, table["published"]) if text]
    if known:
        axes.plot(
            [float(text.split(",")[0]) for _, text in known],
            [place for place, _ in known],
            "D",
            color="#c8641e",
            markersize=4,
            label="published",
        )
    axes.set(xlabel="test RMSE", title=title)
    axes.set_yticks(list(places), table["model"])
    axes.invert_yaxis()
    figure.legend(loc="outside lower right", ncols=2, frameon=False)
    _plain(axes)
    axes.grid(axis="x", alpha=0.25)
    return figure


def _plain(axes: Any) -> None:
    axes.grid(axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
