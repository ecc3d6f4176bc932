"""The command line: ``autorec train``."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Optional

import typer
from tqdm import tqdm

from . import movielens
from .errors import AutorecError, ConfigurationError, RatingsError
from .interactions import Interactions
from .ratings import Ratings, read_ratings
from .splits import random_split

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="AutoRec: predict ratings with an autoencoder.",
)


@app.callback()
def _commands() -> None:
    """Keep `train` a subcommand though it is the only one."""


@app.command()
def train(
    dataset: str = typer.Argument("100k", help="A MovieLens release, or a file of ratings."),
    data: Optional[Path] = typer.Option(
        None, help="The release's folder or zip; fetched by default."
    ),
    hidden: int = typer.Option(500, min=1, help="Hidden units."),
    dropout: float = typer.Option(0.05, min=0, max=0.99, help="Dropout on the code."),
    epochs: int = typer.Option(25, min=1, help="Passes over the training ratings."),
    batch_size: int = typer.Option(256, min=1, help="Rows a step."),
    optimizer: str = typer.Option("adam", help="Any of Gluon's, by name."),
    learning_rate: float = typer.Option(0.002, min=0, help="The optimizer's step."),
    weight_decay: float = typer.Option(1e-5, min=0, help="On all parameters."),
    test_ratio: float = typer.Option(0.1, help="Share of the ratings held out."),
    seed: int = typer.Option(0, min=0, help="Of split, weights, order and dropout."),
    devices: str = typer.Option("gpu", help="cpu, cpu:0,1, gpu or gpu:0,1."),
    output: Optional[Path] = typer.Option(None, help="A new folder.  [default: runs/NAME-TIME]"),
) -> None:
    """Train AutoRec, by default as the section does: MovieLens-100K, a tenth held out.

    Writes metrics.json, curve.png and the weights to a new folder.
    """
    settings = {name: value for name, value in locals().items() if name not in ("data", "output")}
    started = time.perf_counter()
    name, ratings = _load(dataset, data)

    # MXNet takes a second to import; wrong arguments are answered before.
    from .devices import contexts
    from .evaluation import evaluate
    from .model import AutoRec
    from .report import claim_folder, describe, write_report
    from .training import Epoch, fit

    where = contexts(devices)
    train_ratings, test_ratings = random_split(ratings, test_ratio, seed)
    folder = output or Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    claim_folder(folder)
    print(
        f"{name}: {len(ratings):,} ratings of {ratings.num_items:,} items by "
        f"{ratings.num_users:,} users; {len(train_ratings):,} to train on, "
        f"{len(test_ratings):,} held out"
    )
    inputs = Interactions.from_ratings(train_ratings)
    targets = Interactions.from_ratings(test_ratings)
    net = AutoRec(hidden, inputs.shape[1], dropout)
    with tqdm(total=epochs, desc="Training", unit="epoch", disable=None) as bar:

        def show(epoch: Epoch) -> None:
            bar.set_postfix_str(
                f"train RMSE {epoch.train_rmse:.3f}, test RMSE {epoch.test_rmse:.3f}"
            )
            bar.update()

        history = fit(
            net,
            inputs,
            test=targets,
            num_epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            contexts=where,
            seed=seed,
            on_epoch=show,
        )
    result = evaluate(net, inputs, targets, where)
    settings["contexts"] = [str(context) for context in where]
    write_report(folder, net, history, result, describe(name, ratings), settings)
    print(
        f"Test RMSE {result.rmse:.4f}, MAE {result.mae:.4f} after {epochs} epochs on "
        f"{', '.join(map(str, where))}; {time.perf_counter() - started:.1f} s in all"
    )
    print(
        f"Learning curve, metrics and weights are in {folder}/: curve.png, metrics.json, "
        "autorec.params"
    )


def _load(dataset: str, data: Optional[Path]) -> tuple[str, Ratings]:
    """Read a ratings file where there is one of that name, else a MovieLens release."""
    path = Path(dataset)
    if path.is_file():
        return path.name.split(".")[0], read_ratings(path)
    try:
        release = movielens.find_release(dataset)
    except ConfigurationError as error:
        raise ConfigurationError(f"{dataset} is no file, and {error}") from error
    return release.folder, movielens.load_movielens(release.name, data)


def main() -> None:
    """Run the command line: exit code 0; 2 for wrong usage or input; 1 for failures."""
    try:
        app()
    except AutorecError as error:
        print(f"autorec: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, (ConfigurationError, RatingsError)) else 1)
    except KeyboardInterrupt:
        print("autorec: stopped", file=sys.stderr)
        sys.exit(130)
