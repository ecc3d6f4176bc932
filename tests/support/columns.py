"""Small trainings by workers that own columns, and the same by one process."""

import sys
import threading
from pathlib import Path

import numpy

from autorec import AutoRec, Interactions, fit, random_split
from autorec._mxnet import mx, np
from autorec.distributed.columns import Columns, owners
from autorec.distributed.workers import Workers
from support.training import figures, low_rank_ratings, weights


class Threads(Workers):
    """A worker among others that are threads of this process, and wait for each other."""

    def __init__(self, rank, meeting, held):
        super().__init__()
        self.rank, self.count = rank, meeting.parties
        self._meeting, self._held = meeting, held

    def gather(self, own):
        self._held[self.rank] = own
        self._meeting.wait()
        found = numpy.stack([self._held[rank] for rank in range(self.count)])
        self._meeting.wait()
        return found

    def add(self, own):
        return np.array(self.gather(own.asnumpy()).sum(axis=0), ctx=own.ctx)

    def total(self, arrays):
        return [self.add(sum(each.sum() for each in arrays).reshape(1))]


def together(count, work):
    """Run `work(workers)` in as many threads; return what each returned, by rank."""
    meeting, held, found, errors = threading.Barrier(count, timeout=60), {}, {}, []

    def run(rank):
        mx.npx.set_np()
        try:
            found[rank] = work(Threads(rank, meeting, held))
        except BaseException as error:
            errors.append(error)
            meeting.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [found[rank] for rank in range(count)]


OF_NET = ("decoder_activation", "input_dropout", "typical_count")


def parts(view="item"):
    train, test = random_split(low_rank_ratings(), 0.1, seed=1)
    train, validation = random_split(train, 0.1, seed=2)
    return [Interactions.from_ratings(each, view) for each in (train, validation, test)]


def trained(
    workers=None,
    *,
    view="item",
    num_hidden=8,
    dropout=0.0,
    contexts=None,
    validate=True,
    **settings,
):
    """Train on a small matrix, or on the columns of it that a worker owns."""
    train, validation, test = parts(view)
    columns, own = None, numpy.arange(train.shape[1])
    if workers is not None:
        count = train.shape[1]
        own = numpy.flatnonzero(owners(numpy.arange(count), workers.count) == workers.rank)
        train, validation, test = (
            Interactions(each.matrix[:, own], view) for each in (train, validation, test)
        )
        columns = Columns.of(train, own, count, workers)
    of_net = {name: settings.pop(name) for name in OF_NET if name in settings}
    net = AutoRec(num_hidden, train.shape[1], dropout, scale=(1, 5), **of_net)
    given = {"num_epochs": 3, "batch_size": 16, "learning_rate": 0.01, "compute": "sparse"}
    history = fit(
        net,
        train,
        validation=validation if validate else None,
        test=test,
        init=mx.init.Normal(0.1),
        contexts=contexts or [mx.cpu()],
        seed=3,
        workers=workers,
        columns=columns,
        **{**given, **settings},
    )
    return figures(history), weights(net), own


def joined(found):
    """Return the weights of a whole net from those that workers ended with."""
    whole = dict(found[0][1])
    order = numpy.argsort(numpy.concatenate([own for _, _, own in found]))
    for name in whole:
        axis = {"encoder.weight": 1, "encoder.0.weight": 1, "decoder.weight": 0, "decoder.bias": 0}
        if name in axis:
            every = numpy.concatenate([each[1][name] for each in found], axis=axis[name])
            whole[name] = numpy.take(every, order, axis=axis[name])
    return whole


CASES = {
    "section": {},
    "paper": {"loss": "sum", "weight_decay": 0.05, "decay_biases": False},
    "rating": {"loss": "rating", "weight_decay": 0.05},
    "decay by column": {"decay_power": 0.5, "weight_decay": 0.05, "loss": "total"},
    "users": {"view": "user"},
    "deep": {"num_hidden": (8, 4, 8)},
    "sigmoid": {"decoder_activation": "sigmoid"},
    "averaged, patience": {"averaging": 0.5, "learning_rate": 0.1, "patience": 2, "num_epochs": 20},
    "normalised": {"typical_count": 20.0},
    "rmsprop": {"optimizer": "rmsprop", "decay_power": 0.5, "weight_decay": 0.05},
}
#: What is trained in a job, in processes of their own.
IN_A_JOB = {"section": {}, "dropout": {"dropout": 0.05}, "deep": CASES["deep"]}


def rmses(history):
    """Return the training, validation and test RMSE of each epoch."""
    names = ("train_rmse", "validation_rmse", "test_rmse")
    return numpy.array([[epoch[name] for name in names] for epoch in history])


def work(folder):
    """Train as a worker of a job, and leave the results."""
    with Workers.join("dist_sync") as workers:
        for name, settings in IN_A_JOB.items():
            history, values, own = trained(workers, **settings)
            values = {"own": own, "rmses": rmses(history), **values}
            numpy.savez(folder / f"{name}-{workers.rank}.npz", **values)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
