"""Ratings from pipes, devices and bombs: read once and whole, or refused in a sentence."""

import gzip
import os
import threading
import time

import pytest

from autorec import read_ratings
from autorec.data import sources
from autorec.errors import RatingsError

LINES = "".join(f"{n // 50},{n % 50},{1 + n % 5},{n}\n" for n in range(20_000))


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def written(path, content):
    """Write to a FIFO, a little at a time, from another thread."""

    def write():
        try:
            with open(path, "wb", buffering=0) as file:
                time.sleep(0.2)  # open for writing, and nothing there yet
                for start in range(0, len(content), 10_000):
                    file.write(content[start : start + 10_000])
        except BrokenPipeError:
            pass  # the reader has seen enough

    thread = threading.Thread(target=write)
    thread.start()
    return thread


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_a_pipe_is_read_once_and_whole(fifo, pack):
    writer = written(fifo, pack(LINES.encode()))
    ratings = read_ratings(fifo)
    writer.join()
    assert len(ratings) == 20_000
    assert ratings.times.tolist() == list(range(20_000))


def test_a_fifo_without_a_writer_is_not_waited_for_for_ever(fifo, monkeypatch):
    monkeypatch.setattr(sources, "PATIENCE", 0.3)
    with pytest.raises(RatingsError, match="fifo: It is a FIFO to which nothing was written"):
        read_ratings(fifo)


def test_an_endless_pipe_is_refused_while_it_is_read(fifo, monkeypatch):
    writer = written(fifo, b"1" * (6 * sources.MAX_LINE))
    with pytest.raises(RatingsError, match="a line of more than 1,048,576 characters"):
        read_ratings(fifo)
    writer.join()
    monkeypatch.setattr(sources, "MAX_BYTES", 100_000)
    writer = written(fifo, LINES.encode())
    with pytest.raises(RatingsError, match="bytes of text; give a table of this size as"):
        read_ratings(fifo)
    writer.join()


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/", "/: It cannot be read, since it is a folder"),
        ("/dev/null", "/dev/null: The file is empty"),
        ("/dev/fd/8888", "/dev/fd/8888 does not exist, for example since it was a pipe"),
    ],
)
def test_other_things_than_files_are_named(path, sentence):
    with pytest.raises(RatingsError, match=sentence):
        read_ratings(path)
