"""The command line: ``autorec train``, ``autorec reproduce``, and those of `model_commands`."""

from __future__ import annotations

import logging
import math
import os
import shlex
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Optional, Union

import typer
import typer.core
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from . import model_commands, movielens
from .checkpoints import Checkpoints
from .errors import AutorecError, ConfigurationError
from .files import replacing
from .launch import launch
from .ratings import Ratings
from .reading import read_ratings
from .roles import KVStoreName, Role, serve
from .splits import given_split, last_split, random_split

#: In a run's folder.
CHECKPOINTS = "checkpoints"


class _Commands(typer.core.TyperGroup):
    """The commands, which Ctrl-C ends with a word and exit code 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            print(f"\nautorec: stopped{stop}", file=sys.stderr)
            sys.exit(130)


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="AutoRec: predict ratings with an autoencoder.",
)


def _as_it_was_asked_for(context: typer.Context, folder: Optional[Path]) -> Optional[Path]:
    """Make the options of a run that is resumed the defaults of all others."""
    if folder is not None:
        context.obj = found = Checkpoints(folder / CHECKPOINTS).latest()
        if found is None or "options" not in found.note:
            raise ConfigurationError(
                f"{folder} has no checkpoint of autorec train to go on from; runs with "
                "--checkpoint-every leave some."
            )
        options = dict(found.note["options"])
        for name in ("data", "ratings", "train", "test"):
            if options.get(name) and not os.path.isabs(options[name]):
                options[name] = os.path.relpath(os.path.join(found.note["cwd"], options[name]))
        context.default_map = options
    return folder


@app.command("train")
def train_command(
    context: typer.Context,
    dataset: Optional[str] = typer.Option(
        None, help="A MovieLens release by its name.  [default: ml-100k]"
    ),
    data: Optional[Path] = typer.Option(
        None, help="The release's folder or zip.  [default: the cache, else a download]"
    ),
    ratings: Optional[Path] = typer.Option(
        None, help="A file of ratings instead: user, item, rating and perhaps time a line."
    ),
    columns: Optional[str] = typer.Option(
        None, help="Columns of user, item, rating[, time] in the file: names, or positions from 0."
    ),
    separator: Optional[str] = typer.Option(
        None, help="What stands between the columns.  [default: found in the first line]"
    ),
    train: Optional[Path] = typer.Option(None, help="A file of ratings to train on; with --test."),
    test: Optional[Path] = typer.Option(None, help="A file of ratings to test on; with --train."),
    duplicates: Literal["error", "last"] = typer.Option(
        "error", help="Refuse a file that has a user's rating of an item twice, or keep the last."
    ),
    split: Literal["random", "seq-aware"] = typer.Option(
        "random", help="Hold out random ratings, or each user's last."
    ),
    test_ratio: float = typer.Option(0.1, help="The share that a random split holds out."),
    validation_ratio: float = typer.Option(
        0.0, help="The share of the training ratings that chooses the epoch; 0 for the last epoch."
    ),
    preset: str = typer.Option(
        "section", help="section, paper or best: the values of what is not given below."
    ),
    view: Optional[Literal["item", "user"]] = typer.Option(
        None, help="What a row is.  [section: item]"
    ),
    hidden: Optional[str] = typer.Option(
        None, help="Hidden units: 500, or 500,250,500 for a deep net.  [section: 500]"
    ),
    encoder: Optional[str] = typer.Option(
        None, help="The encoder's activation.  [section: sigmoid]"
    ),
    decoder: Optional[str] = typer.Option(
        None, help="The decoder's activation.  [section: identity]"
    ),
    dropout: Optional[float] = typer.Option(
        None, min=0, max=0.99, help="Dropout on the code.  [section: 0.05]"
    ),
    input_dropout: Optional[float] = typer.Option(
        None, min=0, max=0.99, help="Dropout on the ratings that go in.  [section: 0.0]"
    ),
    normalise: Optional[bool] = typer.Option(
        None, "--normalise/--no-normalise", help="Scale rows to the mean number of ratings."
    ),
    epochs: Optional[int] = typer.Option(
        None, min=1, help="Passes over the training ratings.  [section: 25]"
    ),
    pretrain_epochs: Optional[int] = typer.Option(
        None, min=0, help="Passes before, layer by layer, for a deep net."
    ),
    finetuning_lr: Optional[float] = typer.Option(
        None, min=0, help="The learning rate of the whole deep net after that.  [default: --lr]"
    ),
    patience: Optional[int] = typer.Option(
        None, min=1, help="Epochs without a better validation RMSE that end the training."
    ),
    batch_size: Optional[int] = typer.Option(None, min=1, help="Rows a step.  [section: 256]"),
    loss: Optional[Literal["mean", "sum"]] = typer.Option(
        None,
        help="The section's, over all cells; or the paper's, over the rated ones.  [section: mean]",
    ),
    optimizer: Optional[str] = typer.Option(None, help="Any of Gluon's.  [section: adam]"),
    lr: Optional[float] = typer.Option(None, min=0, help="The learning rate.  [section: 0.002]"),
    lr_decay: Optional[float] = typer.Option(
        None, min=0, help="Its factor after each epoch.  [section: 1.0]"
    ),
    wd: Optional[float] = typer.Option(None, min=0, help="Weight decay.  [section: 1e-05]"),
    decay_biases: Optional[bool] = typer.Option(
        None, "--decay-biases/--no-decay-biases", help="Decay all, or the weight matrices alone."
    ),
    decay_power: Optional[float] = typer.Option(
        None, min=0, help="More decay for frequent columns: times (count / mean) to this power."
    ),
    averaging: Optional[float] = typer.Option(
        None, min=0, max=0.999, help="Of the weights over epochs; 0 for the last ones alone."
    ),
    clip: Optional[bool] = typer.Option(
        None, "--clip/--no-clip", help="Keep predictions within the rating scale."
    ),
    cold_rating: Optional[float] = typer.Option(
        None, help="The prediction where a user or item has no training rating."
    ),
    devices: str = typer.Option(
        "gpu", help="cpu; cpu:N for N contexts on it; gpu for all, else the CPU; gpu:0,1."
    ),
    compute: Literal["auto", "dense", "sparse"] = typer.Option(
        "auto", help="Whole rows, or rated cells alone, which numba makes fast; the same numbers."
    ),
    kvstore: Optional[KVStoreName] = typer.Option(
        None,
        help="Train with the other workers of a job, which the DMLC_* variables describe; see "
        "autorec launch.  [default: alone]",
    ),
    seed: int = typer.Option(0, min=0, help="Of split, weights, order and dropout."),
    output: Optional[Path] = typer.Option(None, help="A new folder.  [default: runs/NAME-TIME]"),
    quiet: bool = typer.Option(False, "--quiet", help="Print the result alone, and no progress."),
    checkpoint_every: Optional[int] = typer.Option(
        None, min=1, help="Epochs between checkpoints, for --resume.  [default: none are written]"
    ),
    resume: Optional[Path] = typer.Option(
        None,
        is_eager=True,
        callback=_as_it_was_asked_for,
        help="Go on with the run of this folder; with it, give --epochs, --kvstore or --quiet.",
    ),
) -> None:
    """Train AutoRec, by default as the section does: MovieLens-100K, a tenth held out.

    Writes to a new folder: metrics.json, curve.png, the weights alone, model.params, and all that
    the other commands need, model/. With --checkpoint-every, a run that was stopped, by Ctrl-C or
    otherwise, can be resumed.
    """
    started = time.perf_counter()
    if kvstore is not None:
        role = Role.from_environment()
        if role.name != "worker":
            serve(role)
            return
    for option in context.params if resume else ():
        how = context.get_parameter_source(option)
        if option in ("resume", "epochs", "kvstore", "quiet"):
            continue
        if how is not None and how.name == "COMMANDLINE":
            raise ConfigurationError(
                f"--resume goes on as the run began; leave out --{option.replace('_', '-')}."
            )
    source = {
        "dataset": dataset or (None if ratings or train else "ml-100k"),
        "data": data and str(data),
        "ratings": ratings and str(ratings),
        "train": train and str(train),
        "test": test and str(test),
        "columns": columns,
        "duplicates": duplicates,
        "split": None if train else split,
        "test_ratio": None if train or split != "random" else test_ratio,
        "validation_ratio": validation_ratio,
    }
    if (train is None) != (test is None):
        raise ConfigurationError("--train and --test go together; name a file for each.")
    if sum(named is not None for named in (dataset, ratings, train)) > 1:
        raise ConfigurationError(
            "--dataset, --ratings and --train with --test each name the data; give one of them."
        )
    if data is not None and (ratings or train):
        raise ConfigurationError("--data is where --dataset lies; leave one out.")
    if not 0 <= validation_ratio < 1:
        raise ConfigurationError(
            f"--validation-ratio must be between 0 and 1, not {validation_ratio:g}."
        )

    def read(path: Path) -> Ratings:
        named = None if columns is None else [_column(each) for each in columns.split(",")]
        return read_ratings(path, separator=separator, columns=named, duplicates=duplicates)

    if train is not None and test is not None:
        name, parts = _stem(train), given_split(read(train), read(test))
    else:
        if ratings is not None:
            name, table = _stem(ratings), read(ratings)
        else:
            release = movielens.find_release(dataset or "ml-100k")
            name, table = release.folder, movielens.load_movielens(release.name, data)
        random = split == "random"
        parts = random_split(table, test_ratio, seed) if random else last_split(table)

    # MXNet takes a second to import; wrong arguments are answered before.
    from .evaluation import accuracy
    from .history import Epoch
    from .recommender import Recommender
    from .report import describe, run_folder, write_report
    from .workers import Workers

    given = {
        "view": view,
        "num_hidden": hidden and _sizes(hidden),
        "encoder_activation": encoder,
        "decoder_activation": decoder,
        "dropout": dropout,
        "input_dropout": input_dropout,
        "normalise": normalise,
        "num_epochs": epochs,
        "pretrain_epochs": pretrain_epochs,
        "finetuning_rate": finetuning_lr,
        "patience": patience,
        "batch_size": batch_size,
        "loss": loss,
        "optimizer": optimizer,
        "learning_rate": lr,
        "learning_rate_decay": lr_decay,
        "weight_decay": wd,
        "decay_biases": decay_biases,
        "decay_power": decay_power,
        "averaging": averaging,
        "clip": clip,
        "cold_rating": cold_rating,
    }
    for key, value in given.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigurationError(f"{key} must be a finite number, not {value}.")
    model = Recommender.preset(
        preset,
        **{key: value for key, value in given.items() if value is not None},
        devices=devices,
        compute=compute,
        random_state=seed,
    )
    held_out = parts[1]
    learned, chooser = (parts[0], None)
    if validation_ratio:
        learned, chooser = random_split(parts[0], validation_ratio, seed + 1)
    facts = describe(name, learned, chooser, held_out)
    sizes = (
        f"{name}: {sum(map(len, parts)):,} ratings of {held_out.num_items:,} items by "
        f"{held_out.num_users:,} users; {len(learned):,} to train on, "
        + (f"{len(chooser):,} to choose the epoch, " if chooser else "")
        + f"{len(held_out):,} held out"
    )
    workers = Workers.join(kvstore)
    first = workers.rank == 0  # which alone speaks and writes
    if not first:
        quiet = True
        warnings.simplefilter("ignore")
    if not quiet:
        print(sizes)
    wanted = output or Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    claim: Any = nullcontext(resume or wanted)
    if first and not resume:
        claim = run_folder(wanted, numbered=output is None)
    begun = context.obj.epoch if resume else 0
    look: dict[str, Any] = {"desc": "Training", "unit": "epoch", "disable": quiet}
    look.update(initial=begun, total=model.num_epochs)
    with workers, claim as folder, tqdm(**look) as bar, _logged(quiet):
        checkpoints = None
        if checkpoint_every:
            options = {
                option: str(value) if isinstance(value, Path) else value
                for option, value in context.params.items()
                if option not in ("output", "resume", "quiet")
            }
            note = {"options": options, "cwd": os.getcwd()}
            checkpoints = Checkpoints(folder / CHECKPOINTS, checkpoint_every, note=note)

        def show(epoch: Epoch) -> None:
            bar.set_postfix_str(
                f"train RMSE {epoch.train_rmse:.3f}, test RMSE {epoch.test_rmse:.3f}", refresh=False
            )
            bar.update()

        try:
            model.fit(
                learned,
                validation=chooser,
                test=held_out,
                on_epoch=show,
                checkpoints=checkpoints,
                resume=context.obj if resume else False,
                workers=workers,
            )
        except KeyboardInterrupt:
            done = checkpoints.epochs() if checkpoints else []
            if not done:
                raise
            raise KeyboardInterrupt(
                f" after epoch {done[-1]}; to go on: "
                + ("autorec" if kvstore is None else "start the job again with")
                + f" train --resume {shlex.quote(str(folder))}"
            ) from None
        if not first:
            return
        result = accuracy(model.predict(*held_out.pairs()), held_out.values)
        facts["num_test_cold"] = cold = int(model.is_cold(*held_out.pairs()).sum())
        config = {**source, "preset": preset, **model.get_params()}
        config.update(kvstore=kvstore, workers=workers.count)
        write_report(folder, model.net_, model.history_, result, facts, config)
        model.save(folder / "model")
    if cold and not quiet:
        print(
            f"{cold:,} of the held-out ratings are of a user or an item without training ratings; "
            f"they were predicted {model.cold_prediction:g}"
        )
    if not quiet:
        print(
            f"Learning curve, metrics and model are in {folder}/: curve.png, metrics.json, model/"
        )
    print(
        f"Test RMSE {result.rmse:.4f}, MAE {result.mae:.4f} after {model.history_.best.epoch} "
        f"epochs; {time.perf_counter() - started:.1f} s in all"
    )


@app.command("launch")
def launch_command(
    arguments: list[str] = typer.Argument(
        ..., metavar="-- train ...", help="What each of them runs: autorec train, as alone."
    ),
    workers: int = typer.Option(2, min=1, help="Processes that train."),
    servers: int = typer.Option(1, min=1, help="Processes that add up gradients."),
) -> None:
    """Try out training over several machines, by several processes on this one.

    Starts a scheduler, servers and workers that speak over loopback. Each line that they print
    begins with who prints it. If one fails, all are ended.
    """
    sys.exit(launch(arguments, workers, servers))


@app.command("reproduce")
def reproduce_command(
    table: Optional[list[str]] = typer.Option(
        None, help="ml-1m, activations, hidden-units or ml-100k; may be repeated.  [default: all]"
    ),
    splits: int = typer.Option(5, min=1, help="Random splits a data set."),
    quick: bool = typer.Option(False, "--quick", help="One split and two epochs, to try it out."),
    ml_100k: Optional[Path] = typer.Option(
        None, help="MovieLens-100K's folder or zip.  [default: the cache, else a download]"
    ),
    ml_1m: Optional[Path] = typer.Option(
        None, help="MovieLens-1M's folder or zip, or a file of its ratings."
    ),
    devices: str = typer.Option("gpu", help="As of train."),
    output: Optional[Path] = typer.Option(
        None,
        help="The folder of results; those it has are not run again.  "
        "[default: runs/reproduction, or runs/quick]",
    ),
    quiet: bool = typer.Option(False, "--quiet", help="Print the tables alone, and no progress."),
) -> None:
    """Run the paper's protocol and print its tables beside the published figures.

    Everything is chosen on a validation tenth of the training ratings; the test ratings are met
    once, by the model trained anew on all training ratings. May be stopped and started again.
    """
    from . import experiments
    from .plots import rmse_by_hidden_units, rmse_by_model
    from .tables import TABLES, TRIED

    unknown = set(table or ()) - set(TABLES)
    if unknown:
        raise ConfigurationError(
            f"There is no table {min(unknown)!r}; choose from {', '.join(TABLES)}."
        )
    tables = {name: TABLES[name] for name in table or TABLES}
    if quick:
        tables, splits = experiments.quick(tables), 1
    output = output or Path("runs") / ("quick" if quick else "reproduction")
    sources = {"100k": ml_100k, "1m": ml_1m}
    with tqdm(desc="Runs", unit="run", smoothing=0, disable=quiet) as bar:

        def progress(name: str, done: int, total: int) -> None:
            bar.total = total
            bar.set_postfix_str(name, refresh=False)
            bar.update(done - bar.n)
            bar.refresh()

        experiments.reproduce(
            tables,
            experiments.movielens_splits(sources, splits),
            output,
            devices,
            progress,
        )
    summary = experiments.summarise(output, tables)
    text = experiments.markdown(summary, TRIED)
    with replacing(output / "tables.md") as path:
        path.write_text(text)
    for name, found in summary.items():
        if len(found):
            by_size = name == "hidden-units"
            figure = rmse_by_hidden_units(found) if by_size else rmse_by_model(found, name)
            with replacing(output / f"{name}.png") as path:
                figure.savefig(path)
    print(text, end="")


model_commands.register(app)


@contextmanager
def _logged(quiet: bool) -> Iterator[None]:
    """Show what the library logs, above a progress bar."""
    log = logging.getLogger("autorec")
    level, log.propagate = log.level, False
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        with logging_redirect_tqdm([log]):
            yield
    finally:
        log.setLevel(level)
        log.propagate = True


def _sizes(hidden: str) -> Union[int, list[int]]:
    try:
        sizes = [int(size) for size in hidden.split(",")]
    except ValueError:
        sizes = [0]
    if min(sizes) < 1:
        raise ConfigurationError(
            f"--hidden {hidden} is no size; write 500, or 500,250,500 for a deep net."
        )
    return sizes[0] if len(sizes) == 1 else sizes


def _column(name: str) -> Union[str, int]:
    return int(name) if name.isdigit() else name


def _stem(path: Path) -> str:
    return path.name.split(".")[0]


def main() -> None:
    """Run the command line, see `run`."""
    try:
        run()
    except SystemExit as end:
        joined = sys.modules.get(f"{__package__}.workers")
        if end.code and joined:
            joined.leave(end.code)
        raise


def run() -> None:
    """Run the command line, and exit.

    Exit codes: 0; 2 for usage, input or settings that cannot be used; 1 for what the machine could
    not do, a full disk for example; 130 for Ctrl-C.
    """
    command = typer.main.get_command(app)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _say(str(message))
        try:
            sys.exit(command.main(standalone_mode=False))
        except AutorecError as error:
            _say(str(error))
            sys.exit(2)
        except BrokenPipeError:  # of "autorec ... | head", which has what it wanted
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except (OSError, MemoryError, RuntimeError) as error:  # MXNet's are RuntimeErrors
            lines = str(error).strip().splitlines() or [type(error).__name__]
            _say(lines[-1])
            sys.exit(1)
        except Exception as error:
            # Typer's errors of usage, which have no public base class.
            if not hasattr(error, "format_message"):
                raise
            message = error.format_message()
            if message.startswith("Usage"):
                print(message, file=sys.stderr)
            else:
                _say(f"{message.rstrip('.')}; see autorec --help.")
            sys.exit(2)


def _say(message: str) -> None:
    print(f"autorec: {message}", file=sys.stderr)
