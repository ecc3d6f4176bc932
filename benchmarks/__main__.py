"""``python -m benchmarks`` measures and prints a table; ``make bench`` calls it."""

from __future__ import annotations

import sys

import typer

from autorec import AutorecError

from . import section


def main(
    rounds: int = typer.Option(3, min=1, help="How often each side does the job, in turn."),
    epochs: int = typer.Option(25, min=2, help="Passes over the training ratings a job."),
    quick: bool = typer.Option(False, "--quick", help="One round of 5 epochs; overrides both."),
) -> None:
    """Measure the section's job on MovieLens-100K with d2l and with autorec, side by side.

    Prints a table and writes it to benchmarks/results/, as section.md and section.json.
    """
    if quick:
        rounds, epochs = 1, 5
    try:
        print(section.compare(rounds, epochs), end="")
    except AutorecError as error:
        sys.exit(f"benchmarks: {error}")


if __name__ == "__main__":
    typer.run(main)
