"""Source: the ratings that a command is given, and which of them are held out to test."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Optional

import typer

from .._terminal import counted
from ..data import movielens
from ..errors import ConfigurationError
from .help import DATA
from .options import option

if TYPE_CHECKING:
    from ..data import View
    from ..data.ratings import Ratings

Duplicates = Literal["error", "last"]
Nonpositive = Literal["error", "keep"]
Split = Literal["random", "seq-aware"]

_DECLARED: dict[str, tuple[object, object, str]] = {
    "dataset": (Optional[str], None, "A MovieLens release by its name.  [default: ml-100k]"),
    "data": (
        Optional[Path],
        None,
        "The release's folder or zip.  [default: the cache, else a download]",
    ),
    "ratings": (
        Optional[Path],
        None,
        "A file with a rating per line instead (- for stdin): user, item, rating[, time].",
    ),
    "columns": (
        Optional[str],
        None,
        "Columns of user, item, rating[, time] in the file: names, or positions from 0.",
    ),
    "separator": (
        Optional[str],
        None,
        "The separator of the columns.  [default: found in the first line]",
    ),
    "train": (Optional[Path], None, "A file of ratings to train on; with --test."),
    "test": (Optional[Path], None, "A file of ratings to test on; with --train."),
    "duplicates": (
        Duplicates,
        "error",
        "Refuse a file that has a user's rating of an item twice, or keep the last.",
    ),
    "nonpositive": (
        Optional[Nonpositive],
        None,
        "Refuse ratings of 0 and below, or keep them.  [default: keep, but error where "
        "--ratings-in is raw]",
    ),
    "split": (Split, "random", "Hold out random ratings, or each user's last."),
    "test_ratio": (float, 0.1, "The share that a random split holds out."),
}


def source_options(*names: str) -> list[inspect.Parameter]:
    """Return the options that say where ratings come from: those named, else all of them."""
    return [
        option(name, kind, typer.Option(default, help=text, rich_help_panel=DATA))
        for name, (kind, default, text) in _DECLARED.items()
        if name in (names or _DECLARED)
    ]


@dataclass(frozen=True)
class Parts:
    """Ratings apart for training, choosing and testing.

    Parameters
    ----------
    name : str
    learned, held_out : Ratings
    chooser : Ratings, optional
        For validation.
    table : Ratings, optional
        What all are of, where it is one table that is at hand.
    own : bool
        Whether they are only those of a worker's own columns.
    """

    name: str
    learned: Ratings
    held_out: Ratings
    chooser: Ratings | None = None
    table: Ratings | None = None
    own: bool = False


def sizes(ratings: int, items: int, users: int) -> str:
    """Return how large a table is, in words."""
    return f"{counted(ratings, 'rating')} of {counted(items, 'item')} by {counted(users, 'user')}"


def has_seen(about: Mapping[str, object], parts: Parts) -> bool:
    """Return whether settings were chosen on another part of a table, some of which is held out.

    Parameters
    ----------
    about : mapping
        Of a settings file: what `autorec tune` wrote, or anything.
    parts : Parts
    """
    if parts.table is None or about.get("sha256_table") != parts.table.checksum():
        return False
    return about.get("sha256_ratings") != parts.learned.checksum()


def with_chooser(parts: Parts, ratio: float, seed: int) -> Parts:
    """Return parts of which a share to train on is held out to choose by."""
    from ..data.splits import random_split

    learned, chooser = random_split(parts.learned, ratio, seed)
    return replace(parts, learned=learned, chooser=chooser)


@dataclass(frozen=True)
class Source:
    """Where ratings come from, checked, as the options of a command say.

    Raises
    ------
    ConfigurationError
        If they name the data twice or by half.
    """

    dataset: str | None = None
    data: Path | None = None
    ratings: Path | None = None
    columns: str | None = None
    separator: str | None = None
    train: Path | None = None
    test: Path | None = None
    duplicates: Duplicates = "error"
    nonpositive: Nonpositive = "error"
    split: Split = "random"
    test_ratio: float = 0.1

    def __post_init__(self) -> None:
        if (self.train is None) != (self.test is None):
            raise ConfigurationError("--train and --test go together; name a file for each.")
        if sum(each is not None for each in (self.dataset, self.ratings, self.train)) > 1:
            raise ConfigurationError(
                "--dataset, --ratings and --train with --test each name the data; give one of them."
            )
        if self.data is not None and (self.ratings is not None or self.train is not None):
            raise ConfigurationError("--data is where --dataset lies; leave one out.")
        if self._at_random and not 0 < self.test_ratio < 1:
            raise ConfigurationError(
                f"--test-ratio must be between 0 and 1, not {self.test_ratio:g}."
            )
        if self.is_split and (not self._at_random or self.duplicates != "error"):
            raise ConfigurationError(
                f"{self.ratings} is a folder, of which only a random part can be held out; for "
                "--split seq-aware or --duplicates last name the file that it was split from."
            )

    @classmethod
    def from_options(cls, options: Mapping[str, Any], *, any_sign: bool) -> Source:
        """Return what the options of a command say, which may have others.

        Parameters
        ----------
        options : mapping
        any_sign : bool
            Whether ratings of 0 and below are kept where the options do not say.
        """
        given = {each.name: options[each.name] for each in fields(cls) if each.name in options}
        given["nonpositive"] = options["nonpositive"] or ("keep" if any_sign else "error")
        return cls(**given)

    def facts(self) -> Mapping[str, object]:
        """Return the options, for a report."""
        given = {name: str(v) if isinstance(v, Path) else v for name, v in asdict(self).items()}
        given.pop("separator")
        if self.ratings is None and self.train is None:
            given["dataset"] = self.dataset or _USUAL
        if self.train is not None:
            given["split"] = None
        if not self._at_random:
            given["test_ratio"] = None
        return given

    @property
    def is_split(self) -> bool:
        """Whether they are a folder of `autorec data split`, of which each worker reads a file."""
        return self.ratings is not None and self.ratings.is_dir()

    def check_there(self) -> None:
        """Refuse files that are not there, before anybody waits for those who would read them.

        Raises
        ------
        RatingsError
        """
        from ..data.sources import is_open_already

        for path in (self.ratings, self.train, self.test):
            if path is not None and not is_open_already(path) and not path.exists():
                self._read(path)  # says so

    def read(self, seed: int) -> Parts:
        """Return the ratings to train on and those held out; the seed is of a random split."""
        from ..data.splits import given_split, last_split, random_split

        if self.train is not None:
            learned = self._read(self.train)
            parts = given_split(learned, self._read(self.test, like=learned))
            return Parts(_stem(self.train), *parts)
        name, table = self.read_table()
        if self.split == "random":
            return Parts(name, *random_split(table, self.test_ratio, seed), table=table)
        return Parts(name, *last_split(table), table=table)

    def read_table(self) -> tuple[str, Ratings]:
        """Return the data's name, and all its ratings."""
        if self.ratings is not None:
            return _stem(self.ratings), self._read(self.ratings)
        release = movielens.find_release(self.dataset or _USUAL)
        return release.folder, movielens.load_movielens(release.name, self.data)

    def read_own(
        self, view: View, rank: int, count: int, seed: int, validation_ratio: float
    ) -> Parts | None:
        """Return what a worker that owns columns keeps of a file, without ever holding all of it.

        None where the source is no single file that is split at random: it is then read whole.

        Parameters
        ----------
        view : {"item", "user"}
        rank, count : int
            Of the worker, and of all.
        seed, validation_ratio
            Of the splits, which are those of one process; of files that are split already each
            worker holds out a share of its own.
        """
        from ..data.pieces import read_part, read_share
        from ..data.sources import is_open_already
        from ..distributed.hashing import owners

        if self.ratings is None or not self._at_random or is_open_already(self.ratings):
            return None
        if self.duplicates != "error" or not self.ratings.exists():
            return None

        own = partial(owners, workers=count)
        sign = self.nonpositive
        if self.is_split:
            share = read_part(self.ratings, view, own, rank, count, sign)
            seed += 1_000_003 * rank
        elif self.ratings.is_file():
            options: dict[str, Any] = {"separator": self.separator, "columns": self._columns}
            share = read_share(self.ratings, view, own, rank, nonpositive=sign, **options)
        else:
            return None
        learned, held_out = share.split(self.test_ratio, seed)
        chooser = None
        if validation_ratio:
            learned, chosen = learned.split(validation_ratio, seed + 1)
            chooser = chosen.ratings
        return Parts(_stem(self.ratings), learned.ratings, held_out.ratings, chooser, own=True)

    @property
    def _at_random(self) -> bool:
        return self.train is None and self.split == "random"

    @property
    def _columns(self) -> list[str | int] | None:
        return column_names(self.columns)

    @property
    def _read(self) -> Callable[..., Ratings]:
        from ..data.reading import read_ratings

        return partial(
            read_ratings,
            separator=self.separator,
            columns=self._columns,
            duplicates=self.duplicates,
            nonpositive=self.nonpositive,
        )


_USUAL = "ml-100k"


def column_names(columns: str | None) -> list[str | int] | None:
    """Return the names or positions that --columns gives."""
    return None if columns is None else [_column(each) for each in columns.split(",")]


def _column(name: str) -> str | int:
    return int(name) if name.isascii() and name.isdigit() else name


def _stem(path: Path) -> str:
    return "stdin" if str(path) == "-" else path.name.split(".")[0]
