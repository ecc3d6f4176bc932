"""The commands on data: a release is fetched, checked and described, a file split for a job."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal, Optional

import numpy as np
import typer
from typer.core import TyperGroup

from .._terminal import note, shown
from ..data import movielens
from .listing import FORMAT, Format, show_facts
from .source import column_names


def describe_command(
    name: str = typer.Argument(help="A MovieLens release: 100k, 1m, ..., latest-small."),
    data: Optional[Path] = typer.Option(
        None, help="The release's folder or zip.  [default: the cache, else a download]"
    ),
    format: Optional[Format] = FORMAT,
) -> None:
    """Fetch a data set, check it and describe it."""
    import pandas as pd

    release = movielens.find_release(name)
    ratings = movielens.load_movielens(release.name, data)
    cells = ratings.num_users * ratings.num_items
    by_user = np.bincount(ratings.users, minlength=ratings.num_users)
    by_item = np.bincount(ratings.items, minlength=ratings.num_items)
    rows: dict[str, object] = {
        "name": release.folder,
        "ratings": len(ratings),
        "users": ratings.num_users,
        "items": ratings.num_items,
        "rated cells": f"{len(ratings) / cells:.2%}",
        "scale": f"{ratings.values.min():g} to {ratings.values.max():g}",
        "mean rating": float(ratings.values.mean(dtype=np.float64)),
        "ratings of a user": f"{by_user.min()} to {by_user.max()}, median {np.median(by_user):g}",
        "ratings of an item": f"{by_item.min()} to {by_item.max()}, median {np.median(by_item):g}",
    }
    if ratings.times is not None:
        dates = pd.to_datetime([ratings.times.min(), ratings.times.max()], unit="s")
        rows["rated"] = f"{dates[0]:%Y-%m-%d} to {dates[1]:%Y-%m-%d}"
    rows["sha256"] = ratings.checksum()
    show_facts(rows, format)


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
    """Split a file among workers that own columns.

    Each of them then reads the file of its own.

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


class DataCommands(TyperGroup):
    """``autorec data NAME`` is short for ``autorec data describe NAME``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put in the name of the command where none is given."""
        if not args or args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["describe", *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Give a command line these commands."""
    data = typer.Typer(
        cls=DataCommands,
        rich_markup_mode=None,
        help="Fetch and describe a data set, or split a file.",
        epilog="autorec data NAME is short for autorec data describe NAME.",
    )
    data.command("describe")(describe_command)
    data.command("split")(split_command)
    app.add_typer(data, name="data")
