"""Listing: a table written as CSV, JSON lines or for a terminal, batch by batch."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal, TextIO

import numpy as np
import typer

from .._output import written
from .._terminal import shown, tell
from ..errors import ConfigurationError
from .options import shown_value

if TYPE_CHECKING:
    import pandas as pd

Format = Literal["table", "csv", "json"]

FORMAT = typer.Option(
    None, help="table, csv or json (one object per line).  [default: table on a terminal, else csv]"
)

#: Rows that a terminal is given, and those of a batch.
MOST_SHOWN = 1000
BATCH = 100_000


def show_facts(rows: Mapping[str, object], format: Format | None, heading: str = "what") -> None:
    """Write facts to stdout, a line each."""
    import pandas as pd

    columns = {heading: list(rows), "value": list(rows.values())}
    show(pd.DataFrame(columns, dtype=object), format)


def show(table: pd.DataFrame, format: Format | None) -> None:
    """Write a table to stdout."""
    with written(None) as file:
        write_listing([table], file, format)


def slices(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield a table in batches, one at least."""
    for start in range(0, max(len(table), 1), BATCH):
        yield table.iloc[start : start + BATCH]


def write_listing(
    batches: Iterable[pd.DataFrame], file: TextIO, format: Format | None = None
) -> None:
    """Write a table.

    Parameters
    ----------
    batches : iterable of DataFrame
        Its rows, in order; one batch at least.
    file : file of text
        stdout, or one that a user has named.
    format : {"table", "csv", "json"}, optional
        "table" where stdout is a terminal, else "csv", by default. A table is for stdout only:
        what would act upon a terminal is escaped in it, and it has `MOST_SHOWN` rows at most.

    Raises
    ------
    ConfigurationError
        If a table is to go to a file, or a character is not in the file's encoding.
    """
    on_stdout = file is sys.stdout
    format = format or ("table" if on_stdout and sys.stdout.isatty() else "csv")
    if format == "table":
        if not on_stdout:
            raise ConfigurationError("A file is written as csv or json; choose with --format.")
        _show(batches)
        return
    for number, batch in enumerate(batches):
        _write(_text(batch, format, number == 0, file), file)


def _text(batch: pd.DataFrame, format: Format, first: bool, file: TextIO) -> str:
    """Return a batch in a format, as the encoding of a file can have it."""
    encoding = getattr(file, "encoding", None) or "utf-8"
    try:
        if format == "csv":
            text = str(_with_texts(batch).to_csv(index=False, header=first))
        else:
            text = str(batch.to_json(orient="records", lines=True, force_ascii=False))
        if not text.isascii():
            text.encode(encoding)  # strictly, unlike stdout: an id that is escaped is another id
        return text
    except UnicodeEncodeError as error:
        if format == "json":  # which has a way to write any character
            return str(batch.to_json(orient="records", lines=True, force_ascii=True))
        raise ConfigurationError(
            f"{error.object[error.start]!a} cannot be written in {encoding}; set "
            "PYTHONIOENCODING=utf-8, name a file with -o, or choose --format json."
        ) from error


def _with_texts(batch: pd.DataFrame) -> pd.DataFrame:
    """Return a batch with texts for its fractions; pandas' own way takes ten times as long."""
    fractions = batch.select_dtypes(np.floating).astype(float)
    texts = {
        name: column.map("{:.6g}".format, na_action="ignore") for name, column in fractions.items()
    }
    return batch.assign(**texts) if texts else batch


def _write(text: str, file: TextIO) -> None:
    try:
        file.write(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        name = "stdout" if file is sys.stdout else "the output file"
        raise OSError(error.errno, error.strerror, name) from error


def _show(batches: Iterable[pd.DataFrame]) -> None:
    from pandas.api.types import is_numeric_dtype
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD)
    for number, batch in enumerate(batches):
        if number == 0:
            for column in batch.columns:
                numeric = is_numeric_dtype(batch[column])
                justify: Literal["left", "right"] = "right" if numeric else "left"
                table.add_column(str(column), justify=justify, overflow="fold")
        more = MOST_SHOWN - table.row_count
        for row in batch.iloc[:more].itertuples(index=False):
            table.add_row(*(Text(_cell(value)) for value in row))
        if len(batch) > more:
            Console().print(table)
            tell(f"These are the first {MOST_SHOWN:,} rows; -o FILE or --format csv writes all.")
            return
    Console().print(table)


def _cell(value: object) -> str:
    if not isinstance(value, (float, np.floating)):
        return shown(shown_value(value))
    return f"{value:.4g}" if 0 < abs(float(value)) < 1e-3 else f"{value:.4f}"
