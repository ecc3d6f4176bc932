"""The command that trains: reads ratings, splits them, fits, and leaves a run's folder behind."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, cast

import numpy
import typer

from .._terminal import counted, note, progress_bar, say, shown, tell
from ..data import View
from ..distributed.roles import KVStoreName, Parallel, Role, serve
from ..errors import ConfigurationError
from ..recommender.presets import (
    Parameters,
    planned_epochs,
    preset_parameters,
)
from ..recommender.settings_file import SettingsFile, read_settings
from ..training.checkpoints import Checkpoint
from ..training.history import Epoch
from .help import DATA, MODEL, OUTPUT, WHERE, Command
from .options import given, hyperparameters, with_options
from .outcome import check_converged, doubt
from .resume import (
    CHECKPOINTS,
    recall_options,
    refuse_other_options,
    resumable_checkpoints,
    told_how_to_resume,
)
from .sharing import asked_to_share, joined, why_not_columns
from .source import Parts, Source, has_seen, sizes, source_options, with_chooser

if TYPE_CHECKING:
    from ..distributed.workers import Workers
    from ..recommender.estimator import Recommender


@with_options(before=source_options(), after=hyperparameters())
def train_command(
    context: typer.Context,
    validation_ratio: float = typer.Option(
        0.0,
        help="The share of the training ratings held out to choose the epoch; 0 for the last.",
        rich_help_panel=DATA,
    ),
    settings: Optional[Path] = typer.Option(
        None,
        help="A settings.json of autorec tune: the values of what is not given below.",
        rich_help_panel=MODEL,
    ),
    preset: Optional[str] = typer.Option(
        None,
        help="section, paper or best: the values of the options below that are not given.  "
        "[default: section]",
        rich_help_panel=MODEL,
    ),
    kvstore: Optional[KVStoreName] = typer.Option(
        None,
        help="Train with the other workers of a job, which the DMLC_* variables describe; see "
        "autorec launch.  [default: by itself]",
        rich_help_panel=WHERE,
    ),
    output: Optional[Path] = typer.Option(
        None, help="A new folder.  [default: runs/NAME-TIME]", rich_help_panel=OUTPUT
    ),
    quiet: bool = typer.Option(
        False, "--quiet", help="Print only the result, no progress.", rich_help_panel=OUTPUT
    ),
    parallel: Optional[Parallel] = typer.Option(
        None,
        help="What the workers of a job share: the rows of each batch, or the columns of net and "
        "ratings, of which each then holds only its own.  [default: columns where the net allows "
        "it, else rows]",
        rich_help_panel=WHERE,
    ),
    checkpoint_every: Optional[int] = typer.Option(
        None,
        min=1,
        help="Epochs between checkpoints, for --resume.  [default: none are written]",
        rich_help_panel=OUTPUT,
    ),
    resume: Optional[Path] = typer.Option(
        None,
        is_eager=True,
        callback=recall_options,
        help="Go on with the run of this folder; with it, give --epochs, --kvstore or --quiet.",
        rich_help_panel=OUTPUT,
    ),
    **options: Any,
) -> None:
    """Train AutoRec, by default as the section does.

    That is on MovieLens-100K, of which a tenth is held out. Writes to a new folder: metrics.json,
    curve.png, the weights in model.params, and in model/ all that the other commands need. With
    --checkpoint-every, a run that was stopped, by Ctrl-C or otherwise, can be resumed.
    """
    started = time.perf_counter()
    if kvstore is not None:
        role = Role.from_environment()
        if role.name != "worker":
            serve(role)
            return
    if resume:
        refuse_other_options(context, ("resume", "epochs", "kvstore", "quiet"))
    if settings is None:
        preset = preset or "section"
    parameters, chosen = _hyperparameters(settings, preset, options)
    source = Source.from_options(options, any_sign=parameters.any_sign)
    _check_validation(validation_ratio, parameters)
    where_parts_go = output or resume or not checkpoint_every
    reason = why_not_columns(parameters, source, bool(where_parts_go))
    asked = asked_to_share(kvstore, parallel, source, reason)
    shared, workers = asked or "rows", None
    if kvstore is not None:
        source.check_there()
        shared, workers = joined(kvstore, asked, parameters, bool(reason or resume))
    context.params["parallel"] = shared  # for a run that resumes this one
    parts = _read(source, parameters, shared, workers, validation_ratio)
    if chosen is not None:
        _warn_of_seen(settings, chosen, parts)
    if validation_ratio and not parts.own:
        parts = with_chooser(parts, validation_ratio, parameters.random_state + 1)

    # MXNet takes a second to import; wrong arguments are answered before.
    from ..distributed.workers import Workers
    from ..evaluation.accuracy import accuracy
    from ..recommender.estimator import Recommender
    from .run_folder import describe, of_all_workers, run_folder, write_report

    model = Recommender(**vars(parameters))
    facts = describe(parts.name, parts.learned, parts.chooser, parts.held_out)
    workers, test = workers or Workers(), parts.held_out
    if parts.own:
        test, facts = of_all_workers(workers, facts, test)
    first = workers.rank == 0  # the only one that speaks and writes
    if not first:
        quiet = True
        warnings.simplefilter("ignore")
    if not quiet:
        note(shown(_overview(facts)))
        if workers.count > 1:
            what = "columns of net and ratings" if shared == "columns" else "rows of a batch"
            note(f"{counted(workers.count, 'worker')} share the {what}")
    claim: AbstractContextManager[Path] = nullcontext(resume or output or Path("runs"))
    if first and not resume:
        claim = run_folder(output, parts.name)
    resumed_from: Checkpoint | None = context.obj
    if resumed_from is not None and resumed_from.path.parent.name != CHECKPOINTS:
        resumed_from = None  # each of several nets goes on from its own
    epochs = planned_epochs(parameters)
    with workers, claim as folder, _progress(epochs, resumed_from, quiet) as show:
        checkpoints = resumable_checkpoints(context, folder, checkpoint_every)
        with told_how_to_resume(folder, checkpoints, kvstore):
            model.fit(
                parts.learned,
                validation=parts.chooser,
                test=parts.held_out,
                on_epoch=show,
                checkpoints=checkpoints,
                resume=resumed_from or bool(resume),
                workers=workers,
                parallel=shared,
            )
        if not first:
            return
        check_converged(model.histories_, model.scale_)
        result = accuracy(model.predict(*test.pairs()), test.values)
        facts["num_test_cold"] = cold = int(model.is_cold(*test.pairs()).sum())
        config = {**source.facts(), "validation_ratio": validation_ratio, "preset": preset}
        config.update(
            model.get_params(),
            settings=settings and str(settings),
            kvstore=kvstore,
            parallel=shared,
            workers=workers.count,
        )
        write_report(folder, model, result, facts, config)
        model.save(folder / "model")
    if cold and not quiet:
        note(_of_cold(cold, model))
    if not quiet:
        note(
            f"Learning curve, metrics and model are in {shown(folder)}/: curve.png, metrics.json, "
            "model/"
        )
    note(
        f"Test RMSE {result.rmse:.4f}, MAE {result.mae:.4f} after "
        f"{counted(model.history_.best.epoch, 'epoch')}; "
        f"{time.perf_counter() - started:.1f} s in all"
    )
    mean = numpy.full(len(test), model.ratings_.values.mean(dtype=numpy.float64))
    of_mean = accuracy(mean, test.values).rmse
    doubtful = doubt(model.histories_, model.scale_, result.rmse, of_mean)
    if doubtful is not None:
        say(doubtful)


def register(app: typer.Typer) -> None:
    """Give a command line this command."""
    app.command("train", cls=Command)(train_command)


def _read(
    source: Source,
    parameters: Parameters,
    parallel: Parallel,
    workers: Workers | None,
    validation_ratio: float,
) -> Parts:
    """Read the ratings: a worker that shares columns only its own, where the source lets it."""
    seed, own = parameters.random_state, None
    if parallel == "columns" and workers is not None:
        view = cast(View, parameters.view)  # one of the two, as was checked
        own = source.read_own(view, workers.rank, workers.count, seed, validation_ratio)
    return source.read(seed) if own is None else own


def _hyperparameters(
    settings: Path | None, preset: str | None, options: Mapping[str, Any]
) -> tuple[Parameters, SettingsFile | None]:
    """Return the values that hold, and the settings file that some of them come from."""
    if settings is None:
        return preset_parameters(str(preset), **given(options)), None
    if preset is not None:
        raise ConfigurationError("--settings and --preset both give all values; leave one out.")
    chosen = read_settings(settings)
    return Parameters(**{**chosen.parameters, **given(options)}), chosen


def _warn_of_seen(settings: Path | None, chosen: SettingsFile, parts: Parts) -> None:
    """Say where a test RMSE is too good, or may be: settings were chosen by its ratings."""
    if has_seen(chosen.about, parts):
        found = (
            "was chosen on ratings of which some are held out here: the test RMSE will be too good"
        )
    elif parts.own and "sha256_table" in chosen.about:
        found = "may have been chosen on ratings held out here, of which no worker has all"
    else:
        return
    warnings.warn(
        f"{settings} {found}. Split as autorec tune did, with the same --seed.", stacklevel=1
    )


def _check_validation(ratio: float, parameters: Parameters) -> None:
    if not 0 <= ratio < 1:
        raise ConfigurationError(f"--validation-ratio must be between 0 and 1, not {ratio:g}.")
    if parameters.patience is not None and not (ratio or parameters.share_held_out):
        raise ConfigurationError(
            "--patience needs validation ratings; give --validation-ratio or --holdout."
        )


def _of_cold(cold: int, model: Recommender) -> str:
    """Say what a model predicts of a user or an item without training ratings."""
    by_biases = model.cold_rating is None and model.ratings_out == "biases"
    predicted = "by biased means" if by_biases else f"{model.cold_prediction:g}"
    are, they_were = ("is", "it was") if cold == 1 else ("are", "they were")
    return (
        f"{cold:,} of the held-out ratings {are} of a user or an item without training ratings; "
        f"{they_were} predicted {predicted}"
    )


def _overview(facts: Mapping[str, Any]) -> str:
    train, validation, test = (facts[f"num_{part}"] for part in ("train", "validation", "test"))
    size = sizes(train + validation + test, facts["num_items"], facts["num_users"])
    return (
        f"{facts['data']}: {size}; {train:,} to train on, "
        + (f"{validation:,} to choose the epoch, " if validation else "")
        + f"{test:,} held out"
    )


@contextmanager
def _progress(
    epochs: int, resumed_from: Checkpoint | None, quiet: bool
) -> Iterator[Callable[[Epoch], None]]:
    """Show a bar, and above it what the library logs; give what moves it on by an epoch."""
    done = resumed_from.epoch if resumed_from else 0
    with progress_bar("Training", epochs, done=done, hidden=quiet) as bar, _logged(quiet):

        def show(epoch: Epoch) -> None:
            scores = {"train": epoch.train_rmse, "test": epoch.test_rmse}
            if epoch.test_rmse is None:  # of a run that only chooses
                scores = {"train": epoch.train_rmse, "validation": epoch.validation_rmse}
            said = ", ".join(f"{name} RMSE {each:.3f}" for name, each in scores.items() if each)
            bar.set_postfix_str(said, refresh=False)
            bar.update()

        yield show


@contextmanager
def _logged(quiet: bool) -> Iterator[None]:
    """Show what the library logs, above a progress bar."""
    log, handler = logging.getLogger("autorec"), _Told()
    level, log.propagate = log.level, False
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = True


class _Told(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tell(record.getMessage())
