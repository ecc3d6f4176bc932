"""Plots: what a run looks like, without touching pyplot's global state.

Matplotlib is imported by what draws, once it has a folder to write to, see `matplotlib_settled`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
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
        # The second is for fontconfig, which Matplotlib asks for fonts and which complains itself.
        before = {name: os.environ.get(name) for name in ("MPLCONFIGDIR", "XDG_CACHE_HOME")}
        os.environ.update(dict.fromkeys(before, place))
        try:
            yield
        finally:
            for name, value in before.items():
                del os.environ[name]
                if value is not None:
                    os.environ[name] = value


def _can_be_written(path: Callable[[str], Path]) -> bool:
    try:  # as Matplotlib itself tries
        folder = path("matplotlib").expanduser()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: the user has no home at all
        return False
    return os.access(folder, os.W_OK)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches, which pyplot knows nothing of."""
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
    figure = new_figure(6.5, 4)
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
    plain_axes(axes)
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
    figure = new_figure(6, 4)
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
    plain_axes(axes)
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
    figure = new_figure(7, 1.3 + 0.32 * sum(heights) + 0.3 * len(panels))
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
        plain_axes(axes)
        axes.grid(axis="x", alpha=0.25)
    figure.suptitle(title)
    grid[-1, 0].set_xlabel("test RMSE")
    *theirs, ours = zip(*grid[0, 0].get_legend_handles_labels())
    figure.legend(*zip(ours, *theirs), loc="outside lower right", frameon=False)
    return figure


#: How the figures of each source are drawn, in the order in which they come.
_SOURCES: tuple[dict[str, str], ...] = (
    {"marker": "D", "color": "#b8530f"},
    {"marker": "s", "color": "#2e7d4f"},
    {"marker": "^", "color": "#7a4fa3"},
    {"marker": "v", "color": "#111111"},
)


def plain_axes(axes: Axes) -> None:
    """Give axes faint lines to read heights by, and no frame above and on the right."""
    axes.grid(axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
