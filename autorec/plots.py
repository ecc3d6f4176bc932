"""Plots: what a run looks like, without touching pyplot's global state.

Matplotlib is imported by what draws, once it has a folder to write to, see `matplotlib_settled`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .training.history import History


@contextmanager
def matplotlib_settled(folder: Path) -> Iterator[None]:
    """Let Matplotlib be imported where it can write neither its settings nor its list of fonts.

    Without a home that can be written it warns, or, where there is no room for temporary files
    either, refuses to be imported.

    Parameters
    ----------
    folder : Path
        Holds a temporary folder for it meanwhile, where that is needed.
    """
    usual = platformdirs.user_config_path, platformdirs.user_cache_path
    if "MPLCONFIGDIR" in os.environ or all(_can_be_written(path) for path in usual):
        yield
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix=".matplotlib-") as place:
        os.environ["MPLCONFIGDIR"] = place
        try:
            yield
        finally:
            del os.environ["MPLCONFIGDIR"]


def _can_be_written(path: Callable[[str], Path]) -> bool:
    try:  # as Matplotlib itself tries
        folder = path("matplotlib").expanduser()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: the user has no home at all
        return False
    return os.access(folder, os.W_OK)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(dpi=150, layout="constrained", figsize=(width, height))


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
    from matplotlib.ticker import MaxNLocator

    table = history.frame()
    figure = _figure(6, 4)
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
    figure = _figure(6, 4)
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
    figure = _figure(7, 1.2 + 0.32 * len(table))
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


def _plain(axes: Axes) -> None:
    axes.grid(axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
