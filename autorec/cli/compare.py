"""The command that compares models on one's own ratings."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import typer

from .._storage.files import replacing
from .._terminal import counted, note, progress_bar, shown
from ..recommender.settings_file import read_settings
from .help import COMPARISON, DATA, OUTPUT, WHERE, Command
from .listing import write_listing
from .options import with_options
from .source import Nonpositive, Source, sizes, source_options

if TYPE_CHECKING:
    import pandas as pd

    from ..choosing.comparison import Comparison


@with_options(
    before=source_options("dataset", "data", "ratings", "columns", "separator", "duplicates")
)
def compare_command(
    model: Optional[list[str]] = typer.Option(
        None,
        help="item, user, a preset, a settings.json of autorec tune, mean, user-mean, item-mean, "
        "biased-means, mf, bayesian-mf or bayesian-svd++; may be repeated.  [default: item-mean, "
        "biased-means, mf, the Bayesian ones if myFM is installed, item and user]",
        rich_help_panel=COMPARISON,
    ),
    folds: Optional[int] = typer.Option(
        None,
        min=2,
        help="Folds, each of which is held out once, instead of random splits.",
        rich_help_panel=COMPARISON,
    ),
    splits: int = typer.Option(5, min=1, help="Random splits.", rich_help_panel=COMPARISON),
    test_ratio: float = typer.Option(
        0.1, help="The share that a random split holds out.", rich_help_panel=COMPARISON
    ),
    against: Optional[str] = typer.Option(
        None,
        help="The model that all others are compared with.  [default: the best]",
        rich_help_panel=COMPARISON,
    ),
    seed: int = typer.Option(
        0, min=0, help="The seed of splits and models.", rich_help_panel=COMPARISON
    ),
    nonpositive: Nonpositive = typer.Option(
        "keep", help="Refuse ratings of 0 and below, or keep them.", rich_help_panel=DATA
    ),
    devices: str = typer.Option("gpu", help="See train.", rich_help_panel=WHERE),
    output: Optional[Path] = typer.Option(
        None, help="A new folder.  [default: runs/compare-NAME-TIME]", rich_help_panel=OUTPUT
    ),
    quiet: bool = typer.Option(
        False, "--quiet", help="Print only the tables, no progress.", rich_help_panel=OUTPUT
    ),
    **options: Any,
) -> None:
    """Compare models on the same splits of your ratings.

    Says errors, seconds, memory, and which differences are sure. Each model is trained on the
    training ratings of each split, in a process of its own, and meets the test ratings once. MF and
    presets choose their number of epochs on a tenth of the training ratings; a settings.json was
    chosen by autorec tune, on ratings that should not be tested here.

    Prints tables on a terminal, Markdown elsewhere. Writes to a new folder: scores.csv, after each
    split of each model; table.csv, differences.csv, comparison.md and comparison.png.
    """
    source = Source.from_options({**options, "nonpositive": nonpositive}, any_sign=True)
    name, table = source.read_table()

    # MXNet takes a second to import; wrong arguments are answered before.
    from ..choosing.comparison import NOTE, Splits, cross_validate, short_names
    from ..choosing.models import build_model, usual_models
    from ..choosing.plots import comparison
    from ..plots import matplotlib_settled
    from .run_folder import run_folder

    names = list(model or usual_models())
    for each in short_names(names).values():
        build_model(each, seed, devices)
        _warn_of_settings(each, table.checksum())
    planned = Splits(folds, splits, test_ratio, seed)
    if not quiet:
        size = sizes(len(table), table.num_items, table.num_users)
        note(shown(f"{name}: {size}; {counted(len(names), 'model')}, {planned}"))
    with run_folder(output, f"compare-{name}") as folder:
        with _progress(folder, names, len(planned), quiet) as show:
            found = cross_validate(
                table,
                names,
                folds=folds,
                repeats=splits,
                test_ratio=test_ratio,
                seed=seed,
                against=against,
                data=name,
                devices=devices,
                processes=True,
                on_score=show,
            )
        texts = {
            "comparison.md": found.markdown(),
            "table.csv": found.table.to_csv(index=False),
            "differences.csv": found.differences.to_csv(index=False),
        }
        for file, text in texts.items():
            with replacing(folder / file) as path:
                path.write_text(text, encoding="utf-8")
        with replacing(folder / "comparison.png") as path, matplotlib_settled(folder):
            comparison(found).savefig(path)
    if sys.stdout.isatty():
        for each in _tables(found):
            write_listing([each], sys.stdout, "table")
        note(f"Seconds are those of fit and of predict. {NOTE}")
        note(shown(f"Tables, scores and plot are in {folder}/."))
    else:
        print(found.markdown(), end="")


def register(app: typer.Typer) -> None:
    """Give a command line this command."""
    app.command("compare", cls=Command)(compare_command)


def _warn_of_settings(model: str, checksum: str) -> None:
    """Say of settings that were chosen on what tests them here."""
    if not model.endswith(".json"):
        return
    if read_settings(Path(model)).about.get("sha256_table") == checksum:
        warnings.warn(
            f"{model} was chosen on ratings of this table, some of which test it here: it may look "
            "a little better than it is.",
            stacklevel=1,
        )


def _tables(found: Comparison) -> Iterator[pd.DataFrame]:
    """Yield both tables as a terminal shows them."""
    import pandas as pd

    from ..choosing.comparison import PLACES

    table, differences = found.table, found.differences
    seconds = zip(table["fit_seconds"], table["predict_seconds"])
    yield pd.DataFrame(
        {
            "model": table["model"],
            "test RMSE": _with_intervals(table["rmse"], table["interval"]),
            "MAE": table["mae"],
            f"NDCG@{PLACES}": table["ndcg"],
            "seconds": [f"{fit:,.1f} + {predict:,.1f}" for fit, predict in seconds],
            "peak MB": table["peak_mb"].map("{:,.0f}".format),
        }
    )
    if len(differences):
        yield pd.DataFrame(
            {
                "model": differences["model"],
                f"RMSE less {found.against}'s": _with_intervals(
                    differences["difference"], differences["interval"], "+"
                ),
                "which says": differences["words"],
            }
        )


def _with_intervals(
    means: pd.Series[float], half_widths: pd.Series[float], sign: str = ""
) -> list[str]:
    from ..choosing.comparison import with_interval

    return [with_interval(*each, sign) for each in zip(means, half_widths)]


@contextmanager
def _progress(
    folder: Path, names: Sequence[str], splits: int, quiet: bool
) -> Iterator[Callable[[pd.DataFrame], None]]:
    """Show a bar, and keep the scores so far; a model that fails takes its splits with it."""
    with progress_bar("Comparing", len(names) * splits, hidden=quiet) as bar:

        def show(scores: pd.DataFrame) -> None:
            with replacing(folder / "scores.csv") as path:
                scores.to_csv(path, index=False)
            last = scores.iloc[-1]
            own = scores[scores["model"] == last["model"]]["rmse"]
            bar.set_postfix_str(f"{last['model']} {own.mean():.4f}", refresh=False)
            bar.update(len(scores) - bar.n)

        yield show
