"""Checkpoints of workers that own columns: each writes its part, and rank 0 what makes them one.

A run's folder has epoch-0012, for example, as that of any run, with the history, the settings and
the number of parts, and columns/1-of-4/epoch-0012 with the part of worker 1. Parts are written
first and removed last, so that what the first names is there, whenever the job is killed. Any
number of workers goes on from them: each takes its columns from all parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import numpy

from .._arrays import AnyArray, Integers
from .._storage.folders import CHECKPOINT, remove_folder
from .._storage.state import State, packed
from ..distributed.columns import Columns
from ..distributed.workers import Workers
from .checkpoints import (
    PARTS,
    Checkpoint,
    Checkpoints,
    CheckpointWriter,
    check_finite,
    trusting,
)
from .history import History

#: More parts than any job has workers.
_MOST = 1 << 16


def part_of(checkpoints: Checkpoints, rank: int, count: int) -> Checkpoints:
    """Return where one of several workers leaves its parts."""
    return replace(checkpoints, folder=checkpoints.folder / PARTS / f"{rank}-of-{count}")


class ColumnsWriter(CheckpointWriter):
    """The checkpoints of a run whose columns several workers own, on each of these.

    An epoch is written in its turn and when it is the last, but not after Ctrl-C: the workers are
    then no longer after the same step.

    Parameters
    ----------
    checkpoints, settings, resumed_from
        See `CheckpointWriter`.
    columns : Columns
    workers : Workers
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        settings: Mapping[str, object],
        resumed_from: Checkpoint | None,
        columns: Columns,
        workers: Workers,
    ) -> None:
        super().__init__(checkpoints, settings, resumed_from)
        self._columns, self._workers = columns, workers
        self._part = part_of(checkpoints, workers.rank, workers.count)
        self.is_last: Callable[[], bool] = lambda: False

    def add(self, history: History, state: State) -> None:
        """Write this worker's part of the state after an epoch, if its turn has come."""
        if len(history) % self._checkpoints.every and not self.is_last():
            return
        arrays: dict[str, AnyArray] = {}
        tree = packed({"own": self._columns.own, "run": state}, arrays)
        check_finite(arrays, len(history))
        self._part.folder.mkdir(parents=True, exist_ok=True)
        self._part.save(tree, arrays, history, self._settings)
        self._workers.sums([0.0])  # all parts are there
        if self._workers.rank == 0:
            whole = packed({"parts": self._workers.count}, {})
            self._last = self._checkpoints.save(whole, {}, history, self._settings)
            self._checkpoints.prune(history)
        self._workers.sums([0.0])  # nothing names the parts of earlier epochs any more
        self._part.prune(history)
        if self._workers.rank == 0:
            self._remove_others(history)

    def _remove_others(self, history: History) -> None:
        """Remove parts of another number of workers that no checkpoint is made of any more."""
        keep = self._checkpoints.epochs()
        for folder in (self._checkpoints.folder / PARTS).glob("*-of-*"):
            others = replace(self._checkpoints, folder=folder)
            for epoch in others.epochs():
                if epoch not in keep and epoch <= len(history):
                    remove_folder(others.path(epoch), CHECKPOINT)

    def __enter__(self) -> CheckpointWriter:
        return super().__enter__() if self._workers.rank == 0 else self


@contextmanager
def restored_columns(
    checkpoint: Checkpoint, columns: Columns, names: Sequence[str], workers: Workers
) -> Iterator[State]:
    """Yield the state of the own columns, from the parts of whichever workers wrote them.

    Parameters
    ----------
    checkpoint : Checkpoint
        Of a run by columns.
    columns : Columns
    names : sequence of str
        Those of the parameters that the trainer updates, in its order.
    workers : Workers

    Raises
    ------
    DataCorruptError
        See `Checkpoint.restored`.
    """
    with checkpoint.restored() as head:
        count = head["parts"]
        if type(count) is not int or not 1 <= count <= _MOST:
            raise ValueError("it is of no number of parts")
    everything = Checkpoints(checkpoint.path.parent)
    found: list[tuple[Integers, State]] = []
    alone = [workers.rank] if count == workers.count else []
    for rank in [*alone, *(each for each in range(count) if each not in alone)]:
        path = part_of(everything, rank, count).path(checkpoint.epoch)
        with Checkpoint.read(path).restored() as part:
            own = part["own"]
            mine = numpy.flatnonzero(numpy.isin(own, columns.own))
            taken = cast(State, _taken(part["run"], mine, len(own), (), names))
            found.append((own[mine], taken))
        if sum(len(own) for own, _ in found) == len(columns.own):
            break
    with trusting(checkpoint.path):
        places = numpy.concatenate([own for own, _ in found])
        order = numpy.argsort(places)
        if not numpy.array_equal(places[order], columns.own):
            raise ValueError("its parts are not of these columns")
        yield _joined([state for _, state in found], order, (), names)


def _axis(path: tuple[object, ...], names: Sequence[str]) -> int | None:
    """Return along which axis an array of a run's state has a line for each column, if it has."""
    if path[:2] == ("steps", "adam"):
        return 0
    name = str(path[1]) if path[0] in ("weights", "mean", "best") else None
    if path[:2] == ("steps", "trainer"):
        # ..., "updaters", device, parameter, ...; "optimizer", what it remembers, parameter, ...
        number = path[4] if len(path) > 4 else None
        name = names[number] if isinstance(number, int) else None
    axes = {"encoder.weight": 1, "encoder.0.weight": 1, "decoder.weight": 0, "decoder.bias": 0}
    return None if name is None else axes.get(name)


def _taken(
    value: object, mine: Integers, count: int, path: tuple[object, ...], names: Sequence[str]
) -> object:
    """Return a part's state with only some of its columns."""
    if isinstance(value, numpy.ndarray):
        axis = _axis(path, names)
        if axis is None or len(mine) == count:
            return value
        return numpy.take(value, mine, axis=axis)
    if isinstance(value, dict):
        return {key: _taken(each, mine, count, (*path, key), names) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        parts = enumerate(value)
        return type(value)(_taken(each, mine, count, (*path, key), names) for key, each in parts)
    return value


def _joined(
    states: Sequence[State], order: Integers, path: tuple[object, ...], names: Sequence[str]
) -> State:
    """Return one state from several, each of which has some columns."""
    first = states[0]
    if isinstance(first, numpy.ndarray):
        axis = _axis(path, names)
        if axis is None or (len(states) == 1 and (numpy.diff(order) == 1).all()):
            return first
        return numpy.take(numpy.concatenate(states, axis=axis), order, axis=axis)
    if isinstance(first, dict):
        return {
            key: _joined([each[key] for each in states], order, (*path, key), names)
            for key in first
        }
    if isinstance(first, (list, tuple)):
        return type(first)(
            _joined([each[key] for each in states], order, (*path, key), names)
            for key in range(len(first))
        )
    return first
