"""The command that reproduces the paper's tables."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import typer

from .._output import usable_folder
from .._terminal import progress_bar
from ..errors import ConfigurationError


def reproduce_command(
    table: Optional[list[str]] = typer.Option(
        None,
        help="ml-1m, activations, hidden-units, ml-100k, latest-small, jester or ciao-dvd; may be "
        "repeated.  [default: all that need no file, or have theirs]",
    ),
    splits: int = typer.Option(5, min=1, help="Random splits per data set."),
    quick: bool = typer.Option(False, "--quick", help="One split and two epochs, to try it out."),
    ml_100k: Optional[Path] = typer.Option(
        None, help="MovieLens-100K's folder or zip.  [default: the cache, else a download]"
    ),
    ml_1m: Optional[Path] = typer.Option(
        None, help="MovieLens-1M's folder or zip, or a file of its ratings."
    ),
    latest_small: Optional[Path] = typer.Option(
        None, help="MovieLens' latest-small, its folder or zip.  [default: as MovieLens-100K]"
    ),
    jester: Optional[Path] = typer.Option(None, help="A file of Jester's ratings."),
    ciao_dvd: Optional[Path] = typer.Option(None, help="A file of CiaoDVD's ratings."),
    devices: str = typer.Option("gpu", help="See train."),
    output: Optional[Path] = typer.Option(
        None,
        help="The folder of results; those it has are not run again.  "
        "[default: runs/reproduction, or runs/quick]",
    ),
    quiet: bool = typer.Option(False, "--quiet", help="Print only the tables, no progress."),
) -> None:
    """Run the paper's protocol and print its tables.

    Published figures stand beside them. Everything is chosen on a tenth of the training ratings,
    held out for validation; the test ratings are used once, by the model trained anew on all
    training ratings. May be stopped and started again.
    """
    from ..experiments import protocol as experiments
    from ..experiments.data import data_splits, missing
    from ..experiments.summary import differences, markdown, summarise
    from ..experiments.tables import DIFFERENCES, TABLES, TRIED
    from ..plots import rmse_by_hidden_units, rmse_by_model

    unknown = set(table or ()) - set(TABLES)
    if unknown:
        raise ConfigurationError(
            f"There is no table {min(unknown)!r}; choose from {', '.join(TABLES)}."
        )
    tables = {name: TABLES[name] for name in table or TABLES}
    if quick:
        tables, splits = experiments.quick(tables), 1
    output = usable_folder(output or Path("runs") / ("quick" if quick else "reproduction"))
    sources = {
        "100k": ml_100k,
        "1m": ml_1m,
        "latest-small": latest_small,
        "jester": jester,
        "ciao-dvd": ciao_dvd,
    }
    wanted = {
        name: rows
        for name, rows in tables.items()
        if table or not any(missing(row.splits, sources) for row in rows)
    }
    with progress_bar("Runs", None, hidden=quiet) as bar:

        def progress(name: str, done: int, total: int) -> None:
            bar.total = total
            bar.set_postfix_str(name, refresh=False)
            bar.update(done - bar.n)
            bar.refresh()

        experiments.reproduce(wanted, data_splits(sources, splits), output, devices, progress)
    summary = summarise(output, tables)
    text = markdown(summary, TRIED, differences(output, tables, DIFFERENCES))
    experiments.write(output / "tables.md", lambda path: path.write_text(text))
    for name, frame in summary.items():
        found = frame[frame["splits"] > 0].reset_index(drop=True)
        if len(found):
            by_size = name == "hidden-units"
            figure = rmse_by_hidden_units(found) if by_size else rmse_by_model(found, name)
            experiments.write(output / f"{name}.png", figure.savefig)
    print(text, end="")


def register(app: typer.Typer) -> None:
    """Give a command line this command."""
    app.command("reproduce")(reproduce_command)
