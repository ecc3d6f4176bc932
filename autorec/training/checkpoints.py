"""Checkpoints: all that a run carries from epoch to epoch, so that it goes on as if never stopped.

A checkpoint is a folder, epoch-0012 for example, see `folders`: its arrays, and a manifest with all
else.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy

from .._arrays import AnyArray, Floats
from .._storage.folders import (
    CHECKPOINT,
    MANIFEST,
    locked,
    read_folder,
    remove_folder,
    write_folder,
)
from .._storage.npz import stored_arrays, write_npz
from .._storage.state import State, packed, unpacked
from .._terminal import counted
from ..errors import ConfigurationError, DataCorruptError, TrainingError
from .history import History
from .settings import Settings

#: In a folder of checkpoints, where workers that own columns leave their parts.
PARTS = "columns"
_NAME = re.compile(r"epoch-(\d{4,9})")
#: How long a run waits for one that has just been stopped to write its last checkpoint.
_PATIENCE = 2.0


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found whole.

    Parameters
    ----------
    path : Path
        Its folder.
    epoch : int
        The last epoch that it has.
    history : History
        Up to there.
    settings : mapping
        What the run was made with, as far as the weights depend on it.
    note : mapping
        See `Checkpoints`.
    """

    path: Path
    epoch: int
    history: History
    settings: Mapping[str, object]
    note: Mapping[str, Any]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Checkpoint:
        """Read a checkpoint; its arrays are checked and left for `state`.

        Raises
        ------
        DataCorruptError
            If it is damaged, incomplete, no checkpoint or of a newer format.
        """
        path = Path(path)
        with read_folder(path, CHECKPOINT) as (body, _), trusting(path):
            history = History.from_rows(body["history"])
            named = _NAME.fullmatch(path.name)
            if not history.epochs or (named and int(named[1]) != len(history)):
                raise ValueError(f"it has {len(history)} epochs")
            if not isinstance(body["settings"], dict) or not isinstance(body["note"], dict):
                raise ValueError("settings and note are no mappings")
            return cls(path, len(history), history, body["settings"], body["note"])

    @contextmanager
    def restored(self) -> Iterator[State]:
        """Yield the state that `CheckpointWriter.add` was given, with NumPy's arrays for MXNet's.

        Raises
        ------
        DataCorruptError
            If it is damaged, or what is done with it shows that no such run has written it.
        """
        with trusting(self.path):
            with read_folder(self.path, CHECKPOINT) as (body, files):
                arrays = stored_arrays(files["arrays.npz"])
                read = {name: stored.read() for name, stored in arrays.items()}
                state: State = unpacked(body["state"], read)
            yield state

    @property
    def weights(self) -> dict[str, Floats]:
        """The weights of the last epoch by name, for `fit` to start another run from."""
        with self.restored() as state:
            found: dict[str, Floats] = state["weights"]
            return found

    def check(self, settings: Mapping[str, object], num_epochs: int) -> None:
        """Refuse to go on with other settings or ratings than the run began with.

        Raises
        ------
        ConfigurationError
            If there are such, or the run is past `num_epochs`.
        """
        wanted = _plain(settings)
        names = [*self.settings, *(name for name in wanted if name not in self.settings)]
        with trusting(self.path):
            # A setting that came later than the checkpoint was what is its default.
            made = {**_plain(vars(Settings())), **self.settings}
            differing = [
                f"other {name}"
                if name.endswith("ratings")
                else f"{name} {made.get(name)!s:.200}, not {wanted.get(name)}"
                for name in names
                if made.get(name) != wanted.get(name)
            ]
        if differing:
            raise ConfigurationError(
                f"{self.path} was made with {'; '.join(differing):.2000}: resume with what the "
                "run began with, or begin a new one in another folder."
            )
        if self.epoch > num_epochs:
            raise ConfigurationError(
                f"{self.path} is past {counted(num_epochs, 'epoch')}; ask for "
                f"{self.epoch} at least."
            )


@dataclass(frozen=True)
class Checkpoints:
    """Where a run leaves its checkpoints, how often, and how many of them stay.

    Parameters
    ----------
    folder : path
        For the checkpoints of one run; made with the first of them.
    every : int
        Epochs from one checkpoint to the next. The last epoch of a run that ends always has one,
        and that of one that is ended by Ctrl-C or an error, but where workers own columns.
    keep : int
        How many of the latest stay; that of the epoch that is best by its validation RMSE stays
        too.
    facts : mapping
        What the weights depend on besides the settings of `fit`, for JSON; a run is resumed with
        the same ones only.
    note : mapping
        What else to keep with each checkpoint, for JSON.

    Raises
    ------
    ConfigurationError
        If `every` or `keep` is less than 1.
    """

    folder: Path
    every: int = 1
    keep: int = 2
    facts: Mapping[str, object] = field(default_factory=dict)
    note: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))
        for name in ("every", "keep"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be at least 1, not {getattr(self, name)}.")

    def path(self, epoch: int) -> Path:
        """Return the folder of an epoch's checkpoint."""
        return self.folder / f"epoch-{epoch:04d}"

    def epochs(self) -> list[int]:
        """Return the epochs that have a checkpoint, in order."""
        return sorted(
            epoch for epoch, path in self._folders().items() if (path / MANIFEST).is_file()
        )

    def _folders(self) -> dict[int, Path]:
        """Return the folders by epoch, also those of half a checkpoint."""
        if not self.folder.is_dir():
            return {}
        matches = [(_NAME.fullmatch(path.name), path) for path in self.folder.iterdir()]
        return {int(match[1]): path for match, path in matches if match}

    def of_parts(self) -> list[Checkpoints]:
        """Return the same for each folder within that is of one of several nets, by name."""
        inside = sorted(self.folder.glob("**/")) if self.folder.is_dir() else []
        own = {each: each.relative_to(self.folder).parts for each in inside}
        others = (each for each, parts in own.items() if parts and PARTS not in parts)
        found = (replace(self, folder=each) for each in others)
        return [each for each in found if each.epochs()]

    def latest(self) -> Checkpoint | None:
        """Return the latest checkpoint that is whole; None where there is none at all.

        One that cannot be used is passed over with a warning.

        Raises
        ------
        DataCorruptError
            If none can be used.
        """
        failure = None
        for epoch in reversed(self.epochs()):
            try:
                found = Checkpoint.read(self.path(epoch))
            except DataCorruptError as error:
                if epoch not in self.epochs():  # a run that goes on has removed it
                    return self.latest()
                failure = failure or error
                warnings.warn(f"{error} It is passed over for an earlier one.", stacklevel=2)
            else:
                return found
        if failure is not None:
            raise failure
        return None

    def begin(self, resume: bool | Checkpoint) -> Checkpoint | None:
        """Return the checkpoint that a run goes on from; None where it begins anew.

        Parameters
        ----------
        resume : bool or Checkpoint
            Whether to go on from the latest, or the one to go on from.

        Raises
        ------
        ConfigurationError
            If a run would leave checkpoints among those of another.
        DataCorruptError
            If no checkpoint of those in the folder can be used.
        """
        if resume is True:
            return self.latest()
        self.check_free(resume or None)
        return resume or None

    def check_free(self, resumed_from: Checkpoint | None) -> None:
        """Refuse a folder with checkpoints of a run other than the one that is resumed."""
        here = resumed_from and resumed_from.path.resolve().parent == self.folder.resolve()
        if not here and self.epochs():
            raise ConfigurationError(
                f"{self.folder} has checkpoints already; resume their run, or name a new folder."
            )

    def save(
        self,
        state: object,
        arrays: Mapping[str, AnyArray],
        history: History,
        settings: Mapping[str, object],
    ) -> Path:
        """Write the checkpoint of the last epoch of a history, in the place of one that is there.

        Parameters
        ----------
        state, arrays
            From `packed`.
        history : History
        settings : mapping

        Returns
        -------
        Path
        """
        body = {
            "history": [asdict(epoch) for epoch in history],
            "settings": _plain(settings),
            "note": _plain(self.note),
            "state": state,
        }
        path = self.path(len(history))
        files = {"arrays.npz": lambda file: write_npz(file, arrays)}
        write_folder(path, CHECKPOINT, body, files)
        return path

    def prune(self, history: History) -> None:
        """Remove the checkpoints that need not stay, and what killed runs have left half done.

        Parameters
        ----------
        history : History
            Checkpoints of later epochs than its last are left alone: the run will replace them.
        """
        whole = self.epochs()
        epochs = [epoch for epoch in whole if epoch <= len(history)]
        keep = {*epochs[-self.keep :], history.best.epoch, *whole[len(epochs) :]}
        for epoch, path in self._folders().items():
            if epoch not in keep or epoch not in whole:
                remove_folder(path, CHECKPOINT)


class CheckpointWriter:
    """The checkpoints of one run, while it runs: a context for its epochs.

    However it is left, the last epoch that was added is written. What `TrainingError` says is
    completed by the checkpoint that there is to go back to. No other run can write to the folder.

    Parameters
    ----------
    checkpoints : Checkpoints
    settings : mapping
        What the weights depend on, for JSON.
    resumed_from : Checkpoint, optional
        What the run goes on from.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        settings: Mapping[str, object],
        resumed_from: Checkpoint | None,
    ) -> None:
        self._checkpoints, self._settings = checkpoints, settings
        self._resumed_from = resumed_from
        self._last = resumed_from and resumed_from.path
        self._stack = ExitStack()
        self._waiting: tuple[object, dict[str, AnyArray], History] | None = None

    def add(self, history: History, state: State) -> None:
        """Take the state after an epoch, and write it if its turn has come.

        Parameters
        ----------
        history : History
        state : mapping
            With what the run goes on: arrays, of NumPy or MXNet, numbers and texts, in mappings,
            lists and tuples. They may change afterwards.

        Raises
        ------
        TrainingError
            If an array is not finite: nothing could go on from there.
        """
        arrays: dict[str, AnyArray] = {}
        tree = packed(state, arrays)
        check_finite(arrays, len(history))
        self._waiting = tree, arrays, History(list(history))
        if len(history) % self._checkpoints.every == 0:
            self._write()

    def _write(self) -> None:
        if self._waiting is not None:
            tree, arrays, history = self._waiting
            self._last = self._checkpoints.save(tree, arrays, history, self._settings)
            self._waiting = None
            self._checkpoints.prune(history)

    def __enter__(self) -> CheckpointWriter:
        folder = self._checkpoints.folder
        busy = ConfigurationError(
            f"Another run leaves its checkpoints in {folder}; name a new folder, or wait for it."
        )
        folder.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(locked(folder, _PATIENCE, busy))
            self._checkpoints.check_free(self._resumed_from)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        with self._stack:
            self._write()
        if isinstance(error, TrainingError) and self._last is not None:
            said = str(error).rstrip(".")
            raise TrainingError(f"{said} (the last good checkpoint is {self._last}).") from error


def check_finite(arrays: Mapping[str, AnyArray], epoch: int) -> None:
    """Refuse arrays from which nothing could go on; TrainingError."""
    for name, array in arrays.items():
        if not numpy.isfinite(array).all():
            raise TrainingError(
                f"{name} is no longer finite after epoch {epoch}; lower the learning rate."
            )


def _plain(values: Mapping[str, object]) -> State:
    """Return values as they come back from JSON; NumPy's numbers become Python's."""
    plain: State = json.loads(json.dumps(dict(values), default=lambda number: number.item()))
    return plain


@contextmanager
def trusting(path: Path) -> Iterator[None]:
    """Say what a checkpoint's content turns out not to be, although its checksums are right."""
    try:
        yield
    except ConfigurationError:
        raise
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataCorruptError(f"{path} does not hang together ({reason}).") from error
