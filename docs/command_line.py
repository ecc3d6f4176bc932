"""A directive for Sphinx: every command of ``autorec``, with its options, from the Typer app."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from autorec.cli.app import app
from autorec.cli.help import option_groups


class CommandLine(SphinxDirective):
    """``{command-line}``: a section for each command."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        text = "\n".join(described_app())
        return list(self.parse_text_to_nodes(text, allow_section_headings=True))


def described_app() -> Iterator[str]:
    """Yield the lines, in Markdown, of a section for each command."""
    yield from described_group(typer.main.get_command(app), "autorec", None)


def described_group(group: Any, path: str, parent: Any) -> Iterator[str]:
    """Yield the sections of a group's commands, and of the groups in it."""
    with group.make_context(path, [], parent=parent, resilient_parsing=True) as context:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from described_group(command, f"{path} {name}", context)
                continue
            with command.make_context(name, [], parent=context, resilient_parsing=True) as own:
                yield from described(command, f"{path} {name}", own)


def described(command: Any, path: str, context: Any) -> Iterator[str]:
    """Yield the lines of a command's section: usage, what it does, arguments, options."""
    # The program's own name comes from sys.argv in some versions.
    usage = " ".join(command.collect_usage_pieces(context))
    yield from (f"## {path}", "", "```text", f"{path} {usage}", "```", "")
    yield from (as_markdown(inspect.cleandoc(command.help or "")), "")
    for title, records in option_groups(command, context).items():
        yield from (f"**{title}**", "")
        for flags, text in records:
            # A definition list: a table would be wider than a telephone.
            shown = as_markdown(re.sub(r"\s+", " ", text)) or "\u2014"
            yield from (f"`{flags.strip()}`", f": {shown}", "")


def as_markdown(text: str) -> str:
    """Return plain text as Markdown that shows it."""
    text = re.sub(r"``(.+?)``", r"`\1`", text)
    parts = re.split(r"(`[^`]*`|--[a-z][a-z-]*)", text)
    return "".join(
        part if part.startswith("`") else f"`{part}`" if part.startswith("--") else escaped(part)
        for part in parts
    )


def escaped(text: str) -> str:
    """Escape what Markdown would take for marks of its own."""
    return re.sub(r"([\\*_\[\]<>#|$])", r"\\\1", text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
