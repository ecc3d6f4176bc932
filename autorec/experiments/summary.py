"""Summary: what runs of tables came to, as tables to read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ..evaluation.intervals import corrected_interval
from .data import TEST_TO_TRAIN
from .protocol import Row, Saved, as_saved, file_name, read_result

#: Of a table: pairs of names of its rows, the second to be taken off the first, and what it means.
Pairs = Sequence[tuple[str, str, str]]


def results(folder: Path, row: Row) -> tuple[list[Saved], bool]:
    """Return the results of a row by split, and whether they are of the row as it is now.

    Where it has none with its settings, those of earlier ones under its name stand in.

    Parameters
    ----------
    folder : Path
        Of the row's table.
    row : Row
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        result = read_result(path)
        saved = result.get("row")
        # What bears another name is a copy, or was never finished.
        named = isinstance(saved, dict) and saved.get("name") == row.name
        if named and path.name == file_name(row, str(result.get("split"))):
            found.append(result)
    now = [each for each in found if each["row"] == as_saved(row)]
    if now:
        return now, True
    return [each for each in found if _alike(each["row"], row)], False


def _alike(saved: Saved, row: Row) -> bool:
    """Tell whether a result is of the same model and data, and differs in settings only."""
    return (saved.get("model"), saved.get("splits")) == (row.model, row.splits)


def summarise(folder: Path, tables: Mapping[str, Sequence[Row]]) -> dict[str, pd.DataFrame]:
    """Read what `reproduce` left.

    Returns
    -------
    dict of str to DataFrame
        For each table a line for each row: "model", "rmse" (the mean over its splits; NaN where
        it was not run), "interval" (half the width of the 95 % confidence interval, see
        `corrected_interval`; NaN for one split), "splits" (their number), "published" and "note":
        what was chosen at an edge of what was offered, or that the figure is of earlier settings.
    """
    found = {}
    for table, rows in tables.items():
        lines: list[list[object]] = []
        for row in rows:
            scores, current = results(folder / table, row)
            line = [math.nan, math.nan]
            if scores:
                interval = corrected_interval(
                    [each["rmse"] for each in scores], TEST_TO_TRAIN.get(row.splits, 1 / 9)
                )
                line = [interval.mean, interval.half_width]
            note = edges(row, scores) if current else "of earlier settings" if scores else ""
            lines.append([row.name, *line, len(scores), row.published, note])
        columns = ["model", "rmse", "interval", "splits", "published", "note"]
        found[table] = pd.DataFrame(lines, columns=columns)
    return found


def edges(row: Row, scores: Sequence[Saved]) -> str:
    """Say which choices of a row lie at an edge of what was offered, and on how many splits."""
    names = dict.fromkeys(name for candidate in row.candidates for name in candidate)
    offered = {
        name: sorted({each[name] for each in row.candidates if name in each})  # type: ignore[type-var]
        for name in names
    }
    marks: Counter[str] = Counter()
    for result in scores:
        chosen = result["chosen"]
        for name, values in offered.items():
            if len(values) > 1 and chosen.get(name) in (values[0], values[-1]):
                marks[f"{name} {chosen[name]:g}"] += 1
        if row.choose_epoch and chosen.get("num_epochs", -1) == row.parameters.get("num_epochs"):
            marks[f"epoch {chosen['num_epochs']}"] += 1
    said = [f"{mark} ({count} of {len(scores)})" for mark, count in marks.items()]
    return f"at the edge: {', '.join(said)}" if said else ""


def differences(
    folder: Path, tables: Mapping[str, Sequence[Row]], pairs: Mapping[str, Pairs]
) -> dict[str, pd.DataFrame]:
    """Compare rows of tables, split by split.

    Returns
    -------
    dict of str to DataFrame
        For each table a line for each pair of which both rows were run on common splits: "first",
        "second", "difference" (the mean of the first's RMSE less the second's), "interval" (half
        the width of its corrected 95 % confidence interval), "splits" and "meaning".
    """
    found = {}
    for table, rows in tables.items():
        by_name = {row.name: row for row in rows}
        lines: list[list[object]] = []
        for first, second, meaning in pairs.get(table, ()):
            scores = [
                {each["split"]: each["rmse"] for each in results(folder / table, by_name[name])[0]}
                for name in (first, second)
                if name in by_name
            ]
            common = sorted(set.intersection(*map(set, scores))) if len(scores) == 2 else []
            if not common:
                continue
            share = TEST_TO_TRAIN.get(by_name[first].splits, 1 / 9)
            each = [scores[0][split] - scores[1][split] for split in common]
            interval = corrected_interval(each, share)
            lines.append([first, second, interval.mean, interval.half_width, len(common), meaning])
        columns = ["first", "second", "difference", "interval", "splits", "meaning"]
        found[table] = pd.DataFrame(lines, columns=columns)
    return found


def markdown(
    summary: Mapping[str, pd.DataFrame],
    tried: Mapping[str, str] | None = None,
    compared: Mapping[str, pd.DataFrame] | None = None,
) -> str:
    """Return tables as Markdown, below each its differences and what is not reached.

    Parameters
    ----------
    summary : mapping of str to DataFrame
        From `summarise`.
    tried : mapping of str to str, optional
        By table, what was tried to reach published figures that are not.
    compared : mapping of str to DataFrame, optional
        From `differences`.
    """
    lines = []
    for table, frame in summary.items():
        lines += [f"### {table}", "", "| model | test RMSE | splits | published | note |"]
        lines.append("|:--|--:|--:|:--|:--|")
        missed = []
        for each in frame.itertuples():
            rmse = f"{each.rmse:.4f}{_width(each.interval)}" if each.splits else "not run"
            lines.append(
                f"| {each.model} | {rmse} | {each.splits} | {each.published} | {each.note} |"
            )
            figure = float(each.published.partition(",")[0] or math.inf)
            if each.rmse > figure:
                missed.append(f"{each.model} (by {each.rmse - figure:.4f})")
        lines.append("")
        pairs = (compared or {}).get(table)
        if pairs is not None and len(pairs):
            lines += ["| RMSE of | less that of | on the same splits | splits | |"]
            lines.append("|:--|:--|--:|--:|:--|")
            for pair in pairs.itertuples():
                mean = f"{pair.difference:+.4f}{_width(pair.interval)}"
                cells = pair.first, pair.second, mean, str(pair.splits), pair.meaning
                lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
            lines.append("")
        said = (tried or {}).get(table, "")
        if missed:
            said = f"Not reached: {'; '.join(missed)}. {said}".strip()
        if said:
            lines += [said, ""]
    return "\n".join(lines)


def _width(interval: float) -> str:
    return "" if math.isnan(interval) else f" ± {interval:.4f}"
