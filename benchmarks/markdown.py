"""Tables of results: Markdown for reading, JSON for the figures behind it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autorec._storage.files import replacing


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table, all columns but the first to the right."""
    rule = "|".join([":--", *["--:"] * (len(head) - 1)])
    return [f"| {' | '.join(head)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]


def quantity(value: float, unit: str) -> str:
    """Return a value to three digits with its unit."""
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:#.3g} {unit}"


def reached(ratio: float, target: float | None) -> list[str]:
    """Return the cells ratio, to reach and reached; without a target the last two are empty."""
    if target is None:
        return [f"{ratio:.3g}", "", ""]
    return [f"{ratio:.3g}", f"{target:g}", "yes" if ratio >= target else "**no**"]


def write(folder: Path, part: str, text: str, content: Mapping[str, Any]) -> None:
    """Write a part's results, each file whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / f"{part}.md") as path:
        path.write_text(text)
    with replacing(folder / f"{part}.json") as path:
        path.write_text(json.dumps(content, indent=2) + "\n")
