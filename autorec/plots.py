"""Plots: what a run looks like, without touching pyplot's global state.

Matplotlib is imported by what draws, once it has a folder to write to, see `matplotlib_settled`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

    The ring on a line is its lowest point. Where the first epochs, a sixth of all, would leave
    little room to the rest, the picture begins below them and says where they are.

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

    table = history.frame().set_index("epoch")
    names = [name for name in _COLOURS if table[f"{name}_rmse"].notna().any()]
    lines = {name: table[f"{name}_rmse"].dropna().astype(float) for name in names}
    figure = _figure(6.5, 4)
    axes = figure.add_subplot()
    for name, line in lines.items():
        style: Any = {"color": _COLOURS[name], "linewidth": 1.8, "marker": "o"}
        axes.plot(line, markersize=3, **style)
        axes.plot(_lowest(line), line.min(), markersize=7, markerfacecolor="white", **style)
    low, high, top = _heights(list(lines.values()))
    room = 0.05 * (top - low or 1)
    axes.set_ylim(low - room, top + room)
    axes.set_title(title, loc="left", pad=20 if high > top else None)
    if high > top:
        first = ", ".join(f"{name} {line.iloc[0]:.2f}" for name, line in lines.items())
        note = f"begins above the picture; epoch {table.index[0]}: {first}"
        axes.annotate(note, (0, 1), (0, 6), "axes fraction", "offset points", **_SMALL)
    _name(axes, lines)
    axes.set(xlabel="epoch", ylabel="RMSE over rated cells")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    _plain(axes)
    return figure


_COLOURS = {"train": "#767676", "validation": "#b8530f", "test": "#1f5fa8"}
_SMALL: Any = {"fontsize": 9, "color": "#555555", "annotation_clip": False}


def _heights(lines: list[pd.Series[float]]) -> tuple[float, float, float]:
    """Return the lowest and the highest value, and the highest that a picture has to show."""
    low, high = min(line.min() for line in lines), max(line.max() for line in lines)
    later = max(line.iloc[len(line) // 6 :].max() for line in lines)
    return low, high, later if high - low > 1.5 * (later - low) else high


def _lowest(line: pd.Series[float]) -> int:
    """Return the epoch of the lowest value, of several the last."""
    return int(line[::-1].idxmin())


def _name(axes: Axes, lines: dict[str, pd.Series[float]]) -> None:
    """Write the name of each line at its end, with its last and its lowest value."""
    bottom, top = axes.get_ylim()
    upwards = sorted(lines, key=lambda name: float(lines[name].iloc[-1]))
    places, halves, texts = [], [], []
    for name in upwards:
        last, lowest = lines[name].iloc[-1], _lowest(lines[name])
        text = f"{name} {last:.3f}"
        if lowest != lines[name].index[-1]:
            text += f"\nlowest {lines[name].min():.3f}\nin epoch {lowest}"
        texts.append(text)
        halves.append(0.028 * (1 + text.count("\n")))  # of the height of the axes, at this size
        places.append((last - bottom) / (top - bottom))
    for name, place, text in zip(upwards, _apart(places, halves), texts):
        style = {**_SMALL, "color": _COLOURS[name], "va": "center"}
        axes.annotate(text, (1, place), (5, 0), "axes fraction", "offset points", **style)


def _apart(places: list[float], halves: list[float]) -> list[float]:
    """Move labels apart, from the lowest up, and down again where they would stand above 1."""
    places = list(places)
    for this in range(1, len(places)):
        distance = halves[this - 1] + halves[this]
        places[this] = max(places[this], places[this - 1] + distance)
    ceiling = 1.0
    for this in reversed(range(len(places))):
        places[this] = min(places[this], ceiling - halves[this])
        ceiling = places[this] - halves[this]
    return places


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
        Columns model, rmse, interval and published (the figure, a comma and whose it is, or empty);
        see `autorec.experiments.summarise`. Where there is a column panel, models with the same
        text in it are drawn together, below that text: those that met the same test ratings.
    title : str
    """
    panels = dict(list(table.groupby("panel", sort=False))) if "panel" in table else {"": table}
    heights = [len(panel) + 0.5 for panel in panels.values()]
    figure = _figure(7, 1.3 + 0.32 * sum(heights) + 0.3 * len(panels))
    grid = figure.subplots(
        len(panels), squeeze=False, sharex=True, gridspec_kw={"height_ratios": heights}
    )
    figures = table["published"].str.partition(", ")
    sources = dict(zip(filter(None, figures[2].unique()), cycle(_SOURCES)))
    for (name, panel), axes in zip(panels.items(), grid[:, 0]):
        places = panel["rmse"] * 0 + range(len(panel))
        axes.errorbar(
            panel["rmse"],
            places,
            xerr=panel["interval"].fillna(0),
            color="#1f5fa8",
            fmt="o",
            markersize=4,
            capsize=3,
            label="here, with the 95 % interval",
        )
        for source, style in sources.items():
            own = figures.loc[panel.index]
            theirs = own[0][own[2] == source].astype(float)
            axes.plot(
                theirs,
                places[theirs.index] + 0.25,
                linestyle="",
                markersize=5,
                label=source,
                **style,
            )
        axes.set_yticks(places, panel["model"])
        axes.set_ylim(len(panel) - 0.5, -0.5)
        axes.set_title(name, loc="left", fontsize=9, color="#555555")
        _plain(axes)
        axes.grid(axis="x", alpha=0.25)
    figure.suptitle(title)
    grid[-1, 0].set_xlabel("test RMSE")
    *theirs, ours = zip(*grid[0, 0].get_legend_handles_labels())
    figure.legend(*zip(ours, *theirs), loc="outside lower right", frameon=False)
    return figure


def tuning(trials: pd.DataFrame, importances: Mapping[str, float], title: str) -> Figure:
    """Draw how a search went, and the validation RMSE by each hyperparameter, what mattered first.

    Parameters
    ----------
    trials : DataFrame
        See `autorec.choosing.Tuning`.
    importances : mapping of str to float
        Shares by hyperparameter; those without one come last.
    title : str
    """
    from matplotlib.ticker import LogLocator

    complete = trials[trials["state"] == "complete"]
    pruned = trials[trials["state"] == "pruned"]
    searched = list(trials.columns[trials.columns.get_loc("error") + 1 :])
    searched.sort(key=lambda name: -importances.get(name, 0.0))
    columns = 4
    rows = -(-(len(searched) + 1) // columns)
    figure = _figure(3 * columns, 2.6 * rows)
    every = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten()
    # Trials that were given up, or far off, must not press the good ones together.
    scores = complete["validation_rmse"].astype(float)
    low, high = scores.min(), scores.quantile(0.9)
    margin = max(high - low, 1e-3)
    every[0].set_ylim(low - 0.1 * margin, high + 0.3 * margin)
    for axes, name in zip(every, ["trial", *searched]):
        values = [*complete[name], *pruned[name]]
        place = {value: n for n, value in enumerate(sorted(set(values), key=str))}
        numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
        for part, look, label in (
            (pruned, {"color": "#b8b8b8", "marker": "x", "s": 14, "linewidths": 0.8}, "pruned"),
            (complete, {"color": "#1f5fa8", "marker": "o", "s": 14}, "complete"),
        ):
            where = list(part[name]) if numeric else [place[value] for value in part[name]]
            axes.scatter(where, part["validation_rmse"], label=label, **look)
        if not numeric:
            names = {True: "yes", False: "no"}
            axes.set_xticks(list(place.values()), [names.get(value, value) for value in place])
            axes.set_xlim(-0.5, len(place) - 0.5)
        elif name != "trial" and min(values) > 0 and max(values) > 8 * min(values):
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter("")
        share = importances.get(name)
        words = name.replace("_", " ")
        axes.set_xlabel(words if share is None else f"{words} ({share:.0%})")
        _plain(axes)
    every[0].plot(complete["trial"], scores.cummin(), color="#c8641e", linewidth=1.2, label="best")
    for axes in every[len(searched) + 1 :]:
        axes.set_visible(False)
    for axes in every[::columns]:
        axes.set_ylabel("validation RMSE")
    figure.suptitle(title)
    handles, labels = every[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=3, frameon=False)
    return figure


#: How the figures of each source are drawn, in the order in which they come.
_SOURCES: tuple[dict[str, str], ...] = (
    {"marker": "D", "color": "#b8530f"},
    {"marker": "s", "color": "#2e7d4f"},
    {"marker": "^", "color": "#7a4fa3"},
    {"marker": "v", "color": "#111111"},
)


def _plain(axes: Axes) -> None:
    axes.grid(axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
