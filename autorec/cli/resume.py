"""Resumption: a run of ``autorec train`` that was stopped goes on with the options it began with.

Its checkpoints have a note of these, and of the folder from which their relative paths start.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

import typer

from ..errors import ConfigurationError
from ..training.checkpoints import Checkpoints

#: In a run's folder.
CHECKPOINTS = "checkpoints"


def recall_options(context: typer.Context, folder: Optional[Path]) -> Optional[Path]:
    """Make the options of a run that is resumed the defaults of all others.

    Parameters
    ----------
    context : typer.Context
        Its `obj` becomes the checkpoint to go on from.
    folder : Path or None
        The run's; None where no run is resumed.

    Returns
    -------
    Path or None
        The folder.

    Raises
    ------
    ConfigurationError
        If the run has left no checkpoint with options.
    DataCorruptError
        If no checkpoint of the run can be used.
    """
    if folder is not None:
        every = Checkpoints(folder / CHECKPOINTS)
        found = every.latest()
        for part in every.of_parts() if found is None else []:  # of several nets any will do
            found = found or part.latest()
        context.obj = found
        options = None if found is None else remembered_options(found.note)
        if options is None:
            raise ConfigurationError(
                f"{folder} has no checkpoint of autorec train to go on from; runs with "
                "--checkpoint-every leave some."
            )
        context.default_map = options
    return folder


def remembered_options(note: object) -> dict[str, object] | None:
    """Return the options of a note of `note_of_options`, with their paths as they are from here.

    None where it is no such note; it may be a stranger's.
    """
    if not isinstance(note, Mapping):
        return None
    options, start = note.get("options"), note.get("cwd")
    if not isinstance(options, dict) or not isinstance(start, str):
        return None
    if not all(isinstance(each, (str, int, float, type(None))) for each in options.values()):
        return None
    found = dict(options)
    for name in ("data", "ratings", "train", "test", "settings"):
        # Standard input is no file; what it had has to be piped in again.
        given = str(found.get(name) or "-")
        if given != "-" and not os.path.isabs(given):
            found[name] = os.path.relpath(os.path.join(start, given))
    return found


def refuse_other_options(context: typer.Context, allowed: Sequence[str]) -> None:
    """Refuse options that a run which is resumed has from its beginning.

    Parameters
    ----------
    context : typer.Context
    allowed : sequence of str
        Those that may be given all the same.

    Raises
    ------
    ConfigurationError
        If one is given.
    """
    for option in context.params:
        how = context.get_parameter_source(option)
        given = how is not None and how.name == "COMMANDLINE"
        if given and option not in allowed:
            raise ConfigurationError(
                f"--resume goes on as the run began; leave out --{option.replace('_', '-')}."
            )


def resumable_checkpoints(
    context: typer.Context, folder: Path, every: int | None
) -> Checkpoints | None:
    """Return where a run leaves checkpoints, with a note of its options.

    Parameters
    ----------
    context : typer.Context
        Of the run.
    folder : Path
        The run's.
    every : int or None
        Epochs from one to the next; None for no checkpoints.

    Returns
    -------
    Checkpoints or None
    """
    if every is None:
        return None
    return Checkpoints(folder / CHECKPOINTS, every, note=note_of_options(context))


def note_of_options(context: typer.Context) -> dict[str, object]:
    """Return the options of a run, and the folder from which their relative paths start."""
    options = {
        option: str(value) if isinstance(value, Path) else value
        for option, value in context.params.items()
        if option not in ("output", "resume", "quiet")
    }
    return {"options": options, "cwd": os.getcwd()}


@contextmanager
def told_how_to_resume(
    folder: Path, checkpoints: Checkpoints | None, kvstore: str | None
) -> Iterator[None]:
    """On Ctrl-C, say how to resume a run that has left a checkpoint.

    Parameters
    ----------
    folder : Path
        The run's.
    checkpoints : Checkpoints or None
        From `resumable_checkpoints`.
    kvstore : str or None
        Of the job that the run is part of; None for a run by itself.
    """
    try:
        yield
    except KeyboardInterrupt:
        if checkpoints is None:
            raise
        done, parts = checkpoints.epochs(), checkpoints.of_parts()
        if not done and not parts:
            raise
        raise KeyboardInterrupt(
            (f" after epoch {done[-1]}" if done else f" in the run of net {len(parts)}")
            + "; to go on: "
            + ("autorec" if kvstore is None else "start the job again with")
            + f" train --resume {shlex.quote(str(folder))}"
        ) from None
