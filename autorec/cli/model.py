"""Commands on a saved model; tables go to stdout, all else to stderr."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Optional

import typer

from .._output import usable_folder, written
from .._terminal import counted, shown
from ..errors import ConfigurationError
from .listing import FORMAT, Format, show, show_facts, slices, write_listing
from .model_folder import find_titles, model_folder, test_rmse

# For the help, and for wrong arguments, these and MXNet take too long to import.
if TYPE_CHECKING:
    from ..recommender.estimator import Recommender

Unknown = Literal["error", "fallback"]

MODEL = typer.Argument(help="The folder of a model, or of the run that made it.")
TITLES = typer.Option(
    None,
    help="A file of items and titles: u.item, movies.dat, or a CSV with a header.  [default: those "
    "of the MovieLens release that the model is of]",
)
UNKNOWN = typer.Option(
    "error", help="Refuse users and items that the model has never seen, or answer with a fallback."
)
DEVICES = typer.Option("cpu", help="See train.")


def evaluate_command(
    model: Path = MODEL,
    ratings: Path = typer.Option(..., help="A file of held-out ratings; - for stdin."),
    k: int = typer.Option(10, "-k", min=1, help="The length of the lists of recommendations."),
    relevant: Optional[float] = typer.Option(
        None, help="The rating from which on an item counts as liked.  [default: 3/4 up the scale]"
    ),
    unknown: Unknown = UNKNOWN,
    format: Optional[Format] = FORMAT,
    devices: str = DEVICES,
) -> None:
    """Compare what a model says with ratings that were held out."""
    result = _load(model, devices).evaluate(ratings, k, relevant, unknown)
    errors, ranking = result.errors, result.ranking
    k = ranking.k  # which is at most the number of items
    rows = {
        "RMSE": errors.rmse,
        "MAE": errors.mae,
        "ratings": errors.count,
        f"precision@{k}": ranking.precision,
        f"recall@{k}": ranking.recall,
        f"NDCG@{k}": ranking.ndcg,
        f"coverage@{k}": ranking.coverage,
        "users with something liked": ranking.users,
    }
    show_facts(rows, format, "measure")


def predict_command(
    model: Path = MODEL,
    pairs: Path = typer.Option(..., help="A file with a user and an item per line; - for stdin."),
    output: Optional[Path] = typer.Option(None, "-o", "--output", help="A file to write instead."),
    unknown: Unknown = UNKNOWN,
    format: Optional[Format] = FORMAT,
    devices: str = DEVICES,
) -> None:
    """Predict the rating of each pair of a user and an item."""
    from ..data.reading import read_pairs

    with written(output) as file:
        loaded = _load(model, devices)
        table = read_pairs(pairs, like=loaded.ratings_)
        predicted = loaded.predict(table["user"], table["item"], unknown)
        write_listing(slices(table.assign(rating=predicted)), file, format)


def recommend_command(
    model: Path = MODEL,
    user: Optional[list[str]] = typer.Option(None, help="A user's id; may be repeated."),
    everybody: bool = typer.Option(False, "--all", help="For every user instead."),
    k: int = typer.Option(10, "-k", min=1, help="Items for each user."),
    titles: Optional[Path] = TITLES,
    seen: bool = typer.Option(False, "--include-seen", help="Items that the user rated too."),
    output: Optional[Path] = typer.Option(None, "-o", "--output", help="A file to write instead."),
    format: Optional[Format] = FORMAT,
    devices: str = DEVICES,
) -> None:
    """Recommend the items with the highest predictions."""
    if bool(user) == everybody:
        raise ConfigurationError("Name a user with --user, or ask for everybody with --all.")
    with written(output) as file:
        loaded = _load(model, devices)
        names = find_titles(model, titles)
        batches = loaded.recommend_batches(user or None, k, exclude_seen=not seen, titles=names)
        write_listing(batches, file, format)


def similar_command(
    model: Path = MODEL,
    item: Optional[str] = typer.Option(None, help="An item's id."),
    user: Optional[str] = typer.Option(None, help="A user's id instead."),
    k: int = typer.Option(10, "-k", min=1, help="How many."),
    titles: Optional[Path] = TITLES,
    format: Optional[Format] = FORMAT,
    devices: str = DEVICES,
) -> None:
    """List the items most like one, or the users most like one."""
    if (item is None) == (user is None):
        raise ConfigurationError("Name an item with --item, or a user with --user.")
    loaded = _load(model, devices)
    if user is not None:
        show(loaded.similar_users(user, k), format)
        return
    names = find_titles(model, titles)
    show(loaded.similar_items(item, k, names), format)


def inspect_command(model: Path = MODEL, format: Format = FORMAT) -> None:
    """Describe a model and what it was made from, and check it."""
    loaded = _load(model, "cpu")
    from .._storage.folders import MODEL, read_folder

    with read_folder(model_folder(model), MODEL) as (manifest, files):
        size = sum(os.fstat(file.fileno()).st_size for file in files.values())
    ratings, best = loaded.ratings_, loaded.history_.best
    rows: dict[str, object] = {
        "view": loaded.view,
        "ratings": len(ratings),
        "users": ratings.num_users,
        "items": ratings.num_items,
        "scale": f"{loaded.scale_[0]:g} to {loaded.scale_[1]:g}",
        "epochs": len(loaded.history_),
        "train RMSE": best.train_rmse,
        "validation RMSE": best.validation_rmse,
        "test RMSE": test_rmse(model, loaded),
        "bytes": size,
        "sha256 of the ratings": manifest["sha256_ratings"],
    }
    rows = {name: value for name, value in rows.items() if value is not None}
    for n, (member, history) in enumerate(zip(loaded.members_, loaded.histories_), start=1):
        if len(loaded.members_) > 1:
            epochs = counted(len(history), "epoch")
            rows[f"net {n}"] = f"{member.inputs.view} view, weight {member.weight:.3g}, {epochs}"
    rows.update(loaded.get_params())
    rows.update({f"{name} version": version for name, version in manifest["versions"].items()})
    show_facts(rows, format)


def export_command(
    model: Path = MODEL,
    format: Literal["onnx", "numpy", "symbol"] = typer.Option(
        "onnx", help="ONNX, arrays for NumPy, or Gluon's symbol for SymbolBlock.imports."
    ),
    output: Path = typer.Option(Path("export"), "-o", "--output", help="A folder."),
) -> None:
    """Write a model in a form that needs no MXNet.

    Or its symbol, for MXNet without this library. The ids are written with it.
    """
    from ..export.formats import export

    usable_folder(output)
    for path in export(_load(model, "cpu"), output, format):
        print(shown(path) if sys.stdout.isatty() else path)


def register(app: typer.Typer) -> None:
    """Give a command line these commands."""
    for name, command in (
        ("evaluate", evaluate_command),
        ("predict", predict_command),
        ("recommend", recommend_command),
        ("similar", similar_command),
        ("inspect", inspect_command),
        ("export", export_command),
    ):
        app.command(name)(command)


def _load(model: Path, devices: str) -> Recommender:
    # MXNet takes a second to import; wrong arguments are answered before.
    from ..recommender.estimator import Recommender

    return Recommender.load(model_folder(model), devices)
