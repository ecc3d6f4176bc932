"""Help: what ``autorec COMMAND --help`` says, with options in groups."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

#: Groups of options, in the order in which the help has them.
SEARCH, COMPARISON = "Search", "Comparison"
DATA, MODEL, TRAINING, WHERE, OUTPUT = "Data", "Model", "Training", "Where", "Output"
_ORDER = "Arguments", SEARCH, COMPARISON, DATA, MODEL, TRAINING, WHERE, OUTPUT, "Options"


class Command(TyperCommand):
    """A command whose help has its options in groups."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each group."""
        for title, records in option_groups(self, ctx).items():
            with formatter.section(title):
                formatter.write_dl(records)


def option_groups(command: Any, context: typer.Context) -> dict[str, list[tuple[str, str]]]:
    """Return what the help says of a command's options, flag and text, by group.

    Parameters
    ----------
    command : click.Command
    context : typer.Context
        Of this command.
    """
    found: dict[str, list[tuple[str, str]]] = {title: [] for title in _ORDER}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
            found[getattr(parameter, "rich_help_panel", None) or usual].append(record)
    return {title: records for title, records in found.items() if records}
