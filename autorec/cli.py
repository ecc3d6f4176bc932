"""The command line: ``autorec train``."""

from __future__ import annotations

import sys
import time
import warnings
from datetime import datetime
from pathlib import Path
from typing import Literal, Optional

import typer
from tqdm import tqdm

from . import movielens
from .errors import AutorecError, ConfigurationError, TrainingError
from .interactions import Interactions
from .ratings import Ratings, read_ratings
from .splits import given_split, last_split, random_split

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="AutoRec: predict ratings with an autoencoder.",
)


@app.callback()
def _commands() -> None:
    """Keep `train` a subcommand though it is the only one."""


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
    train: Optional[Path] = typer.Option(None, help="A file of ratings to train on; with --test."),
    test: Optional[Path] = typer.Option(None, help="A file of ratings to test on; with --train."),
    duplicates: Literal["error", "last"] = typer.Option(
        "error", help="Refuse a file that has a user's rating of an item twice, or keep the last."
    ),
    split: Literal["random", "seq-aware"] = typer.Option(
        "random", help="Hold out random ratings, or each user's last."
    ),
    test_ratio: float = typer.Option(0.1, help="The share that a random split holds out."),
    hidden: int = typer.Option(500, min=1, help="Hidden units."),
    dropout: float = typer.Option(0.05, min=0, max=0.99, help="Dropout on the code."),
    epochs: int = typer.Option(25, min=1, help="Passes over the training ratings."),
    batch_size: int = typer.Option(256, min=1, help="Rows a step."),
    lr: float = typer.Option(0.002, min=0, help="Adam's learning rate."),
    wd: float = typer.Option(1e-5, min=0, help="Weight decay, on all parameters."),
    devices: str = typer.Option(
        "gpu", help="cpu; cpu:N for N contexts on it; gpu for all, else the CPU; gpu:0,1."
    ),
    seed: int = typer.Option(0, min=0, help="Of split, weights, order and dropout."),
    output: Optional[Path] = typer.Option(None, help="A new folder.  [default: runs/NAME-TIME]"),
) -> None:
    """Train AutoRec, by default as the section does: MovieLens-100K, a tenth held out.

    Writes metrics.json, curve.png and the weights, model.params, to a new folder.
    """
    started = time.perf_counter()
    if (train is None) != (test is None):
        raise ConfigurationError("--train and --test go together; name a file for each.")
    if sum(source is not None for source in (dataset, ratings, train)) > 1:
        raise ConfigurationError(
            "--dataset, --ratings and --train with --test each name the data; give one of them."
        )
    if train is not None and test is not None:
        name = _stem(train)
        parts = given_split(*(read_ratings(path, duplicates=duplicates) for path in (train, test)))
    else:
        name, table = _load(dataset or "ml-100k", data, ratings, duplicates)
        random = split == "random"
        parts = random_split(table, test_ratio, seed) if random else last_split(table)

    # MXNet takes a second to import; wrong arguments are answered before.
    from .devices import contexts
    from .evaluation import evaluate
    from .model import AutoRec
    from .report import claim_folder, describe, write_report
    from .training import Epoch, fit

    where = contexts(devices)
    folder = output or Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    claim_folder(folder)
    num_train, num_test = map(len, parts)
    print(
        f"{name}: {num_train + num_test:,} ratings of {parts[0].num_items:,} items by "
        f"{parts[0].num_users:,} users; {num_train:,} to train on, {num_test:,} held out"
    )
    inputs, targets = map(Interactions.from_ratings, parts)
    net = AutoRec(hidden, inputs.shape[1], dropout)
    with tqdm(total=epochs, desc="Training", unit="epoch") as bar:

        def show(epoch: Epoch) -> None:
            bar.set_postfix_str(
                f"train RMSE {epoch.train_rmse:.3f}, test RMSE {epoch.test_rmse:.3f}", refresh=False
            )
            bar.update()

        history = fit(
            net,
            inputs,
            test=targets,
            num_epochs=epochs,
            batch_size=batch_size,
            learning_rate=lr,
            weight_decay=wd,
            contexts=where,
            seed=seed,
            on_epoch=show,
        )
    result = evaluate(net, inputs, targets, where)
    config = {
        key: str(value) if isinstance(value, Path) else value
        for key, value in context.params.items()
    }
    config["contexts"] = [str(each) for each in where]
    write_report(folder, net, history, result, describe(name, *parts), config)
    print(
        f"Learning curve, metrics and weights are in {folder}/: curve.png, metrics.json, "
        "model.params"
    )
    print(
        f"Test RMSE {result.rmse:.4f}, MAE {result.mae:.4f} after {epochs} epochs on "
        f"{', '.join(map(str, where))}; {time.perf_counter() - started:.1f} s in all"
    )


def _load(
    dataset: str,
    data: Optional[Path],
    ratings: Optional[Path],
    duplicates: Literal["error", "last"],
) -> tuple[str, Ratings]:
    if ratings is not None:
        return _stem(ratings), read_ratings(ratings, duplicates=duplicates)
    release = movielens.find_release(dataset)
    return release.folder, movielens.load_movielens(release.name, data)


def _stem(path: Path) -> str:
    return path.name.split(".")[0]


def main() -> None:
    """Run the command line.

    Exit codes: 0; 2 for usage or input that is wrong; 1 for what failed later; 130 for Ctrl-C.
    """
    warnings.showwarning = lambda message, *_, **__: print(f"autorec: {message}", file=sys.stderr)
    try:
        app()
    except AutorecError as error:
        print(f"autorec: {error}", file=sys.stderr)
        sys.exit(1 if isinstance(error, TrainingError) else 2)
    except OSError as error:  # a full disk, for example
        print(f"autorec: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("autorec: stopped", file=sys.stderr)
        sys.exit(130)
