"""The commands on files of ratings: one is split into as many as a job has workers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal, Optional

import typer

from .._terminal import note, shown
from .source import column_names


def split_command(
    file: Path = typer.Argument(..., help="A file with a rating per line, as of train --ratings."),
    workers: int = typer.Option(..., min=1, help="How many files to make."),
    by: Literal["user", "item"] = typer.Option(
        "user", help="What each file has whole: users for --view item, items for --view user."
    ),
    output: Optional[Path] = typer.Option(None, help="A new folder.  [default: FILE-N]"),
    columns: Optional[str] = typer.Option(
        None, help="Columns of user, item, rating[, time] in the file: names, or positions from 0."
    ),
    separator: Optional[str] = typer.Option(
        None, help="The separator of the columns.  [default: found in the first line]"
    ),
) -> None:
    """Split a file for workers that own columns, each of which then reads one of its own.

    Goes through the file once, some lines at a time. The files are of users, or items, by a hash of
    the id; beside them are the ids of all. Train with --parallel columns --ratings FOLDER.
    """
    from ..data.pieces import split_file
    from ..distributed.hashing import owners

    name = file.name.split(".")[0]
    folder = output or file.with_name(f"{name}-{workers}")
    sizes = split_file(
        file,
        folder,
        workers,
        partial(owners, workers=workers),
        by=by,
        separator=separator,
        columns=column_names(columns),
    )
    note(
        f"{sum(sizes):,} ratings are in {shown(folder)}/, {min(sizes):,} to {max(sizes):,} in each "
        f"of {workers} files."
    )


def register(app: typer.Typer) -> None:
    """Give a command line these commands."""
    data = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="Work on files of ratings."
    )
    data.command("split")(split_command)
    app.add_typer(data, name="data")
