"""The section's names: what its cells take from ``d2l``, over the modules of this library.

With ``import autorec as d2l`` the cells of the AutoRec section of Dive into Deep Learning run
unchanged. The signatures are those of d2l 1.0.3; how each function differs from d2l's is said in
its notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Callable, cast

import numpy
import pandas as pd
from tqdm import tqdm

from ._arrays import Floats
from ._mxnet import Array, Block, Context, Trainer, np, numpy_semantics
from .compute.devices import split_rows, try_all_gpus
from .data.movielens import tables as movielens
from .errors import ConfigurationError, RatingsError
from .model import AutoRec
from .training.history import Epoch, EpochSums, History
from .training.steps import update

__all__ = [
    "AutoRec",
    "evaluator",
    "get_dataloader_workers",
    "load_data_ml100k",
    "read_data_ml100k",
    "split_data_ml100k",
    "train_recsys_rating",
    "try_all_gpus",
]


def get_dataloader_workers() -> int:
    """Return the number of worker processes for a DataLoader: none.

    Notes
    -----
    d2l's gives 4. The matrix is in memory already, and handing its rows from process to process
    takes longer than reading them.
    """
    return 0


def read_data_ml100k() -> tuple[pd.DataFrame, int, int]:
    """Read MovieLens-100K, fetching it first where it is missing.

    Returns
    -------
    data : DataFrame
        Columns user_id, item_id, rating, timestamp; 100,000 rows.
    num_users, num_items : int
        943 and 1682.
    """
    names = ["user_id", "item_id", "rating", "timestamp"]
    data = pd.read_csv(movielens.fetch("100k") / "u.data", sep="\t", names=names)
    return data, data.user_id.nunique(), data.item_id.nunique()


@numpy_semantics()
def split_data_ml100k(
    data: pd.DataFrame,
    num_users: int,
    num_items: int,
    split_mode: str = "random",
    test_ratio: float = 0.1,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split ratings at random, or hold out each user's last one.

    Parameters
    ----------
    data : DataFrame
        See `read_data_ml100k`.
    num_users, num_items : int
        Not needed; there for d2l's signature.
    split_mode : {"random", "seq-aware"}
        "random" draws each rating from MXNet's generator: ``mx.random.seed`` fixes it.
    test_ratio : float
        The chance of each rating to be held out in random mode.

    Returns
    -------
    train, test : DataFrame
        With the columns of `data`. In seq-aware mode `train` is sorted by user and time.
    """
    if split_mode == "random":
        keep = np.random.uniform(0, 1, (len(data))).asnumpy() < 1 - test_ratio
        return data[keep], data[~keep]
    if split_mode == "seq-aware":
        user, time = data.columns[0], data.columns[3]
        last = data.index.isin(data.groupby(user)[time].idxmax())
        test_users = data[user].drop_duplicates()
        test = data[last].set_index(user, drop=False).loc[test_users].reset_index(drop=True)
        return data[~last].sort_values([user, time], kind="stable"), test
    raise ConfigurationError(f"split_mode must be 'random' or 'seq-aware', not {split_mode!r}.")


@numpy_semantics()
def load_data_ml100k(
    data: pd.DataFrame, num_users: int, num_items: int, feedback: str = "explicit"
) -> tuple[list[int], list[int], list[float], Array | dict[int, list[int]]]:
    """Turn ratings into lists and an interaction matrix.

    Parameters
    ----------
    data : DataFrame
        User ids 1..num_users, item ids 1..num_items and ratings in the first three columns.
    num_users, num_items : int
    feedback : {"explicit", "implicit"}

    Returns
    -------
    users, items : list of int
        Counted from 0.
    scores : list
        The ratings; 1 for implicit feedback.
    inter : ndarray of float32, shape (num_items, num_users), or dict
        The ratings as a matrix with 0 for none; for implicit feedback each user's items.

    Raises
    ------
    RatingsError
        If an id is outside its range.

    Notes
    -----
    d2l's writes the matrix one element at a time and cuts ratings down to whole numbers; this
    one keeps halves.
    """
    users = data.iloc[:, 0].to_numpy() - 1
    items = data.iloc[:, 1].to_numpy() - 1
    for codes, size, name in ((users, num_users, "user"), (items, num_items, "item")):
        wrong = (codes < 0) | (codes >= size)
        if wrong.any():
            raise RatingsError(
                f"The {name} id {codes[wrong][0] + 1} is not in 1..{size}; for ids with gaps use "
                "autorec.read_ratings and autorec.Interactions."
            )
    if feedback == "implicit":
        seen = data.iloc[:, 1].groupby(users, sort=False)
        by_user = {int(user): (group - 1).tolist() for user, group in seen}
        return users.tolist(), items.tolist(), [1] * len(data), by_user
    if feedback != "explicit":
        raise ConfigurationError(f"feedback must be 'explicit' or 'implicit', not {feedback!r}.")
    scores = data.iloc[:, 2].to_numpy()
    inter = numpy.zeros((num_items, num_users), dtype=numpy.float32)
    inter[items, users] = scores
    return users.tolist(), items.tolist(), scores.tolist(), np.array(inter)


@numpy_semantics()
def evaluator(
    network: Block,
    inter_matrix: Iterable[Array],
    test_data: Array | Floats,
    devices: Sequence[Context],
) -> float:
    """Return the RMSE over the rated cells of a matrix.

    Parameters
    ----------
    network : Block
    inter_matrix : iterable of ndarray, shape (batch, num_users)
        The input rows in order, a DataLoader for example.
    test_data : ndarray, shape (num_items, num_users)
        The ratings to predict, 0 for none.
    devices : sequence of Context

    Raises
    ------
    ConfigurationError
        If there is no rating to predict.
    """
    truth = test_data.asnumpy() if isinstance(test_data, np.ndarray) else numpy.asarray(test_data)
    total, count, start = 0.0, 0, 0
    for values in inter_matrix:
        outputs = [network(part) for part in split_rows(values, devices)]
        predictions = numpy.concatenate([output.asnumpy() for output in outputs])[: len(values)]
        wanted = truth[start : start + len(values)]
        rated = wanted != 0
        total += float(numpy.square((predictions - wanted)[rated], dtype=numpy.float64).sum())
        count += int(rated.sum())
        start += len(values)
    if count == 0:
        raise ConfigurationError("test_data has no rating to compare with; give at least one.")
    return float(numpy.sqrt(total / count))


_evaluate_rows = evaluator


def _evaluate_pairs(
    network: Block, test_iter: Iterable[Sequence[Array]], devices: Sequence[Context]
) -> float:
    """Return the RMSE of a network of (users, items) over batches of (users, items, ratings)."""
    total, count = 0.0, 0
    for *inputs, ratings in test_iter:
        shares = zip(*(split_rows(array, devices) for array in inputs))
        outputs = [network(*arguments) for arguments in shares]
        predictions = numpy.concatenate([output.asnumpy() for output in outputs])[: len(ratings)]
        errors = predictions - ratings.asnumpy()
        total += float(numpy.square(errors, dtype=numpy.float64).sum())
        count += len(ratings)
    if count == 0:
        raise ConfigurationError("test_iter has no rating to compare with; give at least one.")
    return float(numpy.sqrt(total / count))


@numpy_semantics()
def train_recsys_rating(
    net: Block,
    train_iter: Iterable[Array | Sequence[Array]],
    test_iter: Iterable[Array | Sequence[Array]],
    loss: Callable[[Array, Array], Array],
    trainer: Trainer,
    num_epochs: int,
    devices: Sequence[Context] | None = None,
    evaluator: Callable[..., float] | None = None,
    *,
    inter_mat: Array | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> History:
    """Train a rating model over one or several devices and report each epoch.

    Parameters
    ----------
    net : Block
        Initialised on `devices`.
    train_iter : iterable
        With `inter_mat`, batches of rows (batch, num_users) that are input and label at once;
        else batches of (users, items, ratings), or any features followed by the label.
    test_iter : iterable
        Handed to the evaluator.
    loss : callable
        A Gluon loss.
    trainer : gluon.Trainer
    num_epochs : int
    devices : sequence of Context, optional
        Every GPU, else the CPU, by default.
    evaluator : callable, optional
        ``evaluator(net, test_iter, inter_mat, devices)``, or without `inter_mat`
        ``evaluator(net, test_iter, devices)``; this module's by default.
    inter_mat : ndarray, shape (num_items, num_users), optional
        The test ratings of a model of rows.
    on_epoch : callable, optional
        Called with each `Epoch`, to draw it for example.

    Returns
    -------
    History

    Notes
    -----
    The steps taken are those of d2l's function. Its train loss is the sum of running sums over
    all cells, and its rate counts cells; here the train RMSE is over the rated cells, and ratings
    and rows are counted. A batch need not divide by the number of devices.
    """
    devices = list(devices or try_all_gpus())
    rows_model = inter_mat is not None
    score: Callable[..., float] = evaluator or (_evaluate_rows if rows_model else _evaluate_pairs)
    history = History()
    with tqdm(total=num_epochs, desc="Training", unit="epoch") as bar:
        for number in range(1, num_epochs + 1):
            sums = EpochSums()
            for batch in train_iter:
                several = isinstance(batch, (list, tuple))
                arrays = cast("list[Array]", list(batch) if several else [batch])
                rows = len(arrays[-1])
                shares = [split_rows(array, devices) for array in arrays]
                inputs = list(zip(*(shares[:-1] or shares)))
                outputs, _ = update(net, trainer, loss, inputs, shares[-1], rows)
                errors = [
                    (output - label) * np.not_equal(label, 0) if rows_model else output - label
                    for output, label in zip(outputs, shares[-1])
                ]
                rated = numpy.count_nonzero(arrays[-1].asnumpy()) if rows_model else rows
                sums.add([np.square(error) for error in errors], int(rated), rows)
            test = (test_iter, inter_mat) if rows_model else (test_iter,)
            epoch = replace(sums.close(number), test_rmse=score(net, *test, devices))
            history.epochs.append(epoch)
            bar.set_postfix_str(
                f"train RMSE {epoch.train_rmse:.3f}, test RMSE {epoch.test_rmse:.3f}", refresh=False
            )
            bar.update()
            if on_epoch is not None:
                on_epoch(epoch)
    if history.epochs:
        last, seconds = history[-1], sum(epoch.seconds for epoch in history)
        ratings = sum(epoch.seconds * epoch.ratings_per_second for epoch in history) / seconds
        rows_a_second = sum(epoch.seconds * epoch.rows_per_second for epoch in history) / seconds
        print(f"train RMSE {last.train_rmse:.3f}, test RMSE {last.test_rmse:.3f}")
        print(f"{ratings:,.0f} ratings/s, {rows_a_second:,.0f} rows/s on {devices}")
    return history
