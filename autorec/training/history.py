"""History: what each epoch of a run gave."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING

from ..errors import TrainingError

if TYPE_CHECKING:
    import pandas as pd

    from .._mxnet import Array


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training ratings gave.

    `train_rmse` is over the rated cells, as met while training (with dropout, before each
    update). `validation_rmse` and `test_rmse` are taken after the epoch. `seconds` is training
    without evaluation.
    """

    epoch: int
    train_rmse: float
    validation_rmse: float | None
    test_rmse: float | None
    seconds: float
    ratings_per_second: float
    rows_per_second: float


@dataclass
class History:
    """The epochs of a run, in order, and how they were computed: "dense" or "sparse"."""

    epochs: list[Epoch] = field(default_factory=list)
    compute: str | None = None

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self.epochs)

    def __getitem__(self, index: int) -> Epoch:
        return self.epochs[index]

    @property
    def best(self) -> Epoch:
        """The epoch with the lowest validation RMSE, the last one where there is none.

        A test RMSE never decides.
        """

        def rmse(epoch: Epoch) -> float:
            return math.inf if epoch.validation_rmse is None else epoch.validation_rmse

        best = min(self.epochs, key=rmse)
        return self.epochs[-1] if best.validation_rmse is None else best

    @classmethod
    def from_rows(cls, rows: object) -> History:
        """Return the history whose epochs are so many mappings, as `asdict` makes them.

        Raises
        ------
        ValueError
            If they are not.
        """
        names = {each.name for each in fields(Epoch)}
        if not isinstance(rows, list):
            raise ValueError("the history is no list of epochs")
        for number, row in enumerate(rows, 1):
            right = isinstance(row, dict) and row.keys() == names and row["epoch"] == number
            for name in names if right else ():
                empty = row[name] is None and name in ("validation_rmse", "test_rmse")
                right = right and (empty or type(row[name]) in (int, float))
            if not right:
                raise ValueError(f"epoch {number} of the history is none")
        return cls([Epoch(**row) for row in rows])

    def frame(self) -> pd.DataFrame:
        """Return a table with one row an epoch."""
        import pandas as pd

        return pd.DataFrame([asdict(epoch) for epoch in self.epochs])


class EpochSums:
    """Squared error, ratings and rows, summed over the batches of an epoch."""

    def __init__(self) -> None:
        self.squared_error = 0.0
        self.ratings = self.rows = 0
        self._batches = 0
        self._diverged: int | None = None
        self._pending: list[Array] = []
        self._started = time.perf_counter()

    def add(self, squared_errors: list[Array], ratings: int, rows: int) -> None:
        """Add a batch; its errors, one array a device, are awaited when the next batch is added.

        MXNet computes in the background: waiting one batch late lets the next one be prepared
        meanwhile, and still keeps no more than two in memory.
        """
        self._settle()
        self._pending = squared_errors
        self.ratings += ratings
        self.rows += rows

    def _settle(self) -> None:
        self.squared_error += sum(float(errors.sum()) for errors in self._pending)
        self._batches += bool(self._pending)
        self._pending = []
        if self._diverged is None and not math.isfinite(self.squared_error):
            self._diverged = self._batches

    def check(self, epoch: int) -> None:
        """Raise if the error of a batch that was waited for is not finite.

        Raises
        ------
        TrainingError
            If it is not.
        """
        if self._diverged is not None:
            raise TrainingError(
                f"The training error is no longer finite in batch {self._diverged} of epoch "
                f"{epoch}; lower the learning rate."
            )

    def close(self, epoch: int) -> Epoch:
        """Wait for the last batch and return the epoch.

        Raises
        ------
        TrainingError
            If the error is not finite.
        """
        self._settle()
        seconds = time.perf_counter() - self._started
        self.check(epoch)
        return Epoch(
            epoch=epoch,
            train_rmse=math.sqrt(self.squared_error / max(self.ratings, 1)),
            validation_rmse=None,
            test_rmse=None,
            seconds=seconds,
            ratings_per_second=self.ratings / seconds,
            rows_per_second=self.rows / seconds,
        )
