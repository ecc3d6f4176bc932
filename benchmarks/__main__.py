"""``python -m benchmarks`` measures and prints tables; ``make bench`` calls it."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import Callable, Optional

import typer

from autorec import AutorecError
from autorec.errors import ConfigurationError

from .process import use_all_cores

use_all_cores()  # before MXNet and numba are loaded
from .parts import (  # noqa: E402
    beside_d2l,
    density,
    epochs,
    growth,
    learning,
    limits,
    loading,
)

RESULTS = Path(__file__).parent / "results"
# The first comes first: a job's peak memory is never less than its parent's was, and this grows.
PARTS = ("section", "epochs", "scaling", "limits", "loading", "density", "learning")


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def main(
    parts: Optional[list[str]] = typer.Argument(
        None, help=f"Any of {', '.join(PARTS)}; all of them by default."
    ),
    sets: Optional[list[str]] = typer.Option(
        None, "--set", help="Of the part epochs only this set, e.g. ML-1M; may be given repeatedly."
    ),
    data_100k: Optional[Path] = typer.Option(
        None, "--data-100k", help="Your copy of MovieLens-100K: its folder, zip or ratings."
    ),
    data_1m: Optional[Path] = typer.Option(
        None, "--data-1m", help="Your copy of MovieLens-1M: its folder, zip or ratings."
    ),
    section_rounds: int = typer.Option(3, "--rounds", min=1, help="Of the part section."),
    section_epochs: int = typer.Option(25, "--epochs", min=2, help="Of the part section."),
    output: Path = typer.Option(RESULTS, "--output", help="Where results are written."),
    quick: bool = typer.Option(
        False, "--quick", help="Small shapes, to see that all works; nothing is kept."
    ),
) -> None:
    """Measure what autorec takes: beside d2l, beside PyTorch, against shapes and limits.

    Each part prints a table and writes it to benchmarks/results/, with the figures behind it, when
    it is done: a run that was stopped goes on with the parts, and sets, that are missing. PyTorch
    is measured where it is installed: pip install 'gluon-autorec[bench]'.
    """
    sources = {"ML-100K": data_100k, "ML-1M": data_1m}
    if quick:
        section_rounds, section_epochs = 1, 5

    def measure_epochs(folder: Path) -> str:
        if importlib.util.find_spec("torch") is None:
            print("PyTorch is not installed, and left out.", file=sys.stderr)
        known = epochs.QUICK if quick else epochs.SETS
        chosen = [each for each in known if not sets or each.name in sets]
        if not chosen:
            raise ConfigurationError(
                f"There is no set {', '.join(sets or [])}; choose from "
                f"{', '.join(each.name for each in known)}."
            )
        return epochs.compare(folder, chosen, sources)

    def measure_scaling(folder: Path) -> str:
        return growth.compare(folder, growth.QUICK, 1) if quick else growth.compare(folder)

    def measure_limits(folder: Path) -> str:
        return limits.compare(folder, limits.QUICK, 10, 2, 1) if quick else limits.compare(folder)

    def measure_density(folder: Path) -> str:
        if quick:
            return density.compare(folder, [(300, 200)], [0.1, 0.8], 1, 10)
        return density.compare(folder)

    def measure_learning(folder: Path) -> str:
        return learning.compare(folder, learning.QUICK, 10) if quick else learning.compare(folder)

    ways: dict[str, Callable[[Path], str]] = {
        "section": lambda folder: beside_d2l.compare(folder, section_rounds, section_epochs),
        "epochs": measure_epochs,
        "scaling": measure_scaling,
        "limits": measure_limits,
        "loading": lambda folder: loading.compare(folder, sources, 1 if quick else 15, quick=quick),
        "density": measure_density,
        "learning": measure_learning,
    }
    unknown = [part for part in parts or [] if part not in ways]
    if unknown:
        sys.exit(f"benchmarks: there is no part {unknown[0]!r}; choose from {', '.join(PARTS)}.")
    failed = False
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) if quick else output
        for part in parts or PARTS:
            try:
                print(f"## {part}\n\n{ways[part](folder)}", flush=True)
            except AutorecError as error:  # the other parts can be had all the same
                print(f"benchmarks: {part}: {error}", file=sys.stderr)
                failed = True
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    app()
