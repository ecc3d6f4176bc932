"""The command that searches for settings, and leaves them where ``autorec train`` takes them."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import Field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import typer

from .._storage.files import replacing
from .._terminal import counted, note, progress_bar, shown
from ..choosing.space import BASE, MINUTES, MOST_EPOCHS, SPACE
from ..errors import ConfigurationError
from .help import OUTPUT, SEARCH, WHERE, Command
from .listing import write_listing
from .options import given, hyperparameters, shown_value, with_options
from .resume import note_of_options, refuse_other_options, remembered_options
from .source import Source, sizes, source_options

if TYPE_CHECKING:
    import pandas as pd

    from ..choosing.search import Progress, Tuning


#: In a search's folder: the options that it began with.
OPTIONS = "options.json"


def _recall(context: typer.Context, folder: Optional[Path]) -> Optional[Path]:
    """Make the options of a search that is resumed the defaults of all others."""
    if folder is not None:
        try:
            note = json.loads((folder / OPTIONS).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            note = None
        context.default_map = remembered_options(note)
        if context.default_map is None:
            raise ConfigurationError(f"{folder} has no search of autorec tune to go on with.")
    return folder


def _left_out(declared: Field[object]) -> str:
    """Return, for the help, what a search does with a hyperparameter that is not given."""
    if declared.name in SPACE:
        return f"  [searched: {SPACE[declared.name]}]"
    if declared.name in ("view", "user_view", "user_weight"):
        return "  [searched]"
    value = BASE.get(declared.name, declared.default)
    return "" if value is None else f"  [default: {shown_value(value)}]"


@with_options(before=source_options(), after=hyperparameters(_left_out))
def tune_command(
    context: typer.Context,
    trials: Optional[int] = typer.Option(
        None,
        min=1,
        help="How many settings to try, with those before a search is resumed.",
        rich_help_panel=SEARCH,
    ),
    minutes: Optional[float] = typer.Option(
        None,
        help="After which to stop.  [default: 10, where --trials is not given]",
        rich_help_panel=SEARCH,
    ),
    jobs: int = typer.Option(
        1, min=1, help="Processes that train side by side.", rich_help_panel=WHERE
    ),
    validation_ratio: float = typer.Option(
        0.1,
        help="The share of the training ratings that settings are judged by.",
        rich_help_panel=SEARCH,
    ),
    folds: Optional[int] = typer.Option(
        None,
        min=2,
        help="Judge by so many folds of the training ratings instead; slower, surer.",
        rich_help_panel=SEARCH,
    ),
    output: Optional[Path] = typer.Option(
        None, help="A new folder.  [default: runs/tune-NAME-TIME]", rich_help_panel=OUTPUT
    ),
    resume: Optional[Path] = typer.Option(
        None,
        is_eager=True,
        callback=_recall,
        help="Go on with the search of this folder; with it, give --trials, --minutes, --jobs, "
        "--devices or --quiet.",
        rich_help_panel=OUTPUT,
    ),
    quiet: bool = typer.Option(
        False, "--quiet", help="Print only the result, no progress.", rich_help_panel=OUTPUT
    ),
    **options: Any,
) -> None:
    """Search, with Optuna, for the settings that predict best.

    Best is what predicts held-out training ratings best. What train would hold out to test, by the
    same options and seed, is held out here, too, and has no say. Hyperparameters that are given are
    not searched.

    Writes to a new folder, after each trial, settings.json, for train --settings, trials.csv, and
    journal.jsonl, from which --resume goes on; at the end tuning.png, which shows what mattered.
    """
    if resume:
        refuse_other_options(context, ("resume", "trials", "minutes", "jobs", "devices", "quiet"))
    fixed: dict[str, Any] = given(options)
    raw = fixed.get("ratings_in") == "raw"  # which is not searched
    source = Source.from_options(options, any_sign=not raw)
    devices, seed = fixed.pop("devices", "gpu"), fixed.pop("random_state", 0)
    parts = source.read(seed)
    about = {"data": parts.name}
    if parts.table is not None:
        about["sha256_table"] = parts.table.checksum()

    # MXNet and Optuna take a second to import; wrong arguments are answered before.
    from ..choosing.plots import tuning
    from ..choosing.search import SETTINGS, TRIALS, tune
    from ..plots import matplotlib_settled
    from .run_folder import run_folder

    if not quiet:
        learned, held_out = parts.learned, len(parts.held_out)
        size = sizes(len(learned), learned.num_items, learned.num_users)
        note(shown(f"{parts.name}: {size} to choose by; {held_out:,} held out"))
    begun = json.dumps(note_of_options(context), indent=1)
    claim: AbstractContextManager[Path] = (
        nullcontext(resume) if resume else run_folder(output, f"tune-{parts.name}")
    )
    with claim as folder, _progress(folder, begun, trials, minutes, quiet) as show:
        found = tune(
            parts.learned,
            trials=trials,
            minutes=minutes,
            jobs=jobs,
            validation_ratio=validation_ratio,
            folds=folds,
            folder=folder,
            resume=resume is not None,
            seed=seed,
            devices=devices,
            about=about,
            on_progress=show,
            **fixed,
        )
    with replacing(folder / "tuning.png") as path, matplotlib_settled(folder):
        searched = {name: each for name, each in SPACE.items() if name in found.trials}
        title = f"autorec tune on {parts.name}"
        tuning(found.trials, found.importances, searched, title).savefig(path)
    if not quiet:
        write_listing([_chosen(found)], sys.stdout, "table")
        note(_words(found))
        note(shown(f"Trials, plot and settings are in {folder}/: {TRIALS}, tuning.png, {SETTINGS}"))
    note(
        f"Validation RMSE {found.validation_rmse:.4f}; to train: "
        + shown(f"autorec train --settings {shlex.quote(str(folder / SETTINGS))}")
    )


def register(app: typer.Typer) -> None:
    """Give a command line this command."""
    app.command("tune", cls=Command)(tune_command)


def _chosen(found: Tuning) -> pd.DataFrame:
    """Return what was searched, the best of it, and in brackets how much each mattered."""
    import pandas as pd

    names = [name for name in SPACE if name in found.trials]
    rows: dict[str, list[str]] = {
        "hyperparameter": [*names, "num_epochs"],
        "searched": [*(str(SPACE[name]) for name in names), f"up to {MOST_EPOCHS}"],
    }
    for view in found.best:
        own, shares = vars(found.parameters.of_view(view)), found.importances[view]
        rows[f"best, {view}"] = [
            shown_value(own[name]) + (f" ({shares[name]:.0%})" if name in shares else "")
            for name in [*names, "num_epochs"]
        ]
    return pd.DataFrame(rows)


def _words(found: Tuning) -> str:
    """Say which views are best."""
    trials = " and ".join(f"trial {number} of {view}" for view, number in found.best.items())
    weight = found.parameters.user_weight
    if found.parameters.view == "both":
        return f"Best are both views together, {trials}; the user view counts {weight:.0%}"
    return f"Best is the {found.parameters.view} view alone, {trials}"


@contextmanager
def _progress(
    folder: Path, options: str, trials: int | None, minutes: float | None, quiet: bool
) -> Iterator[Callable[[Progress], None]]:
    """Note the options of a search that has begun, show a bar, and say at Ctrl-C how to go on."""
    last: Progress | None = None
    total = trials or 60 * (MINUTES if minutes is None else minutes)
    try:
        with progress_bar("{percentage:3.0f}%", total, hidden=quiet) as bar:

            def show(progress: Progress) -> None:
                nonlocal last
                if not (folder / OPTIONS).exists():  # of a search that is new
                    with replacing(folder / OPTIONS) as path:
                        path.write_text(options + "\n", encoding="utf-8")
                last = progress
                done = progress.seconds if trials is None else progress.trials
                bar.set_postfix_str(_so_far(progress), refresh=False)
                bar.update(min(done, total) - bar.n)
                bar.refresh()

            yield show
    except KeyboardInterrupt:
        if last is None:
            raise
        raise KeyboardInterrupt(
            f" after {_so_far(last)}; to go on: autorec tune --resume {shlex.quote(str(folder))}"
        ) from None


def _so_far(progress: Progress) -> str:
    found = counted(progress.trials, "trial")
    if progress.pruned:
        found += f", {progress.pruned} pruned"
    if progress.best is not None:
        found += f", best {progress.best_rmse:.4f} ({progress.best})"
    return found
