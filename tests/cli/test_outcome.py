"""What ``autorec train`` says of a run that has learned nothing."""

import sys

import pytest

from autorec import accuracy, random_split, read_ratings
from autorec.cli import app as cli
from autorec.cli.outcome import check_converged, doubt
from autorec.errors import TrainingError
from autorec.training.history import Epoch, History


@pytest.fixture
def train(tmp_path, ratings_file, monkeypatch, capsys):
    """Train on films.csv; return the exit code, what was said last, and all of stderr."""

    def train(*arguments):
        monkeypatch.chdir(tmp_path)
        command = "train", "--ratings", "films.csv", "--hidden", 4, "--devices", "cpu", *arguments
        monkeypatch.setattr(sys, "argv", ["autorec", *map(str, command)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        # pytest shows deprecations, of Matplotlib's parts for example, which Python does not.
        said = [line for line in err.splitlines() if "deprecated" not in line]
        return end.value.code or 0, out.splitlines()[-1], said

    return train


def test_a_run_that_learns_is_not_talked_of(train, tmp_path):
    # Half the items are good, half are bad.
    rows = [(f"u{user}", item, 1 + 4 * (item % 2)) for user in range(20) for item in range(30)]
    text = "".join(f"{user},{item},{rating}\n" for user, item, rating in rows)
    (tmp_path / "films.csv").write_text("user,item,rating\n" + text)
    code, last, err = train("--epochs", 20, "--lr", 0.05, "--batch-size", 5, "--quiet")
    assert (code, err) == (0, [])
    assert last.startswith("Test RMSE 0.")
    assert " after 20 epochs;" in last


def test_one_epoch_is_one_and_worse_than_the_mean_is_said(train, ratings_file):
    code, last, err = train("--epochs", 1, "--seed", 3, "--quiet")
    assert code == 0
    assert " after 1 epoch;" in last
    learned, held_out = random_split(read_ratings(ratings_file), 0.1, seed=3)
    mean = [learned.values.mean(dtype=float)] * len(held_out)
    rmse = accuracy(mean, held_out.values).rmse
    (said,) = err
    assert said.startswith("autorec: That is worse than the mean of all training ratings")
    assert f"whose test RMSE is {rmse:.4f}: try more epochs" in said


def test_a_rate_of_100_is_not_a_good_end(train, tmp_path):
    """Whatever it ends in: the errors come down again from where the first steps took them."""
    code, _, err = train("--epochs", 4, "--lr", 100, "--batch-size", 8, "--output", "run")
    if code == 2:
        assert err[-1].startswith("autorec: Training diverges: ")
        assert not (tmp_path / "run").exists()
    else:
        assert "far outside the scale of the ratings, 0.5 to 5 (RMSE" in err[-1]
    assert err[-1].endswith("lower the learning rate (--lr).")
    # The scale hides it in the predictions, not in the training errors.
    code, _, err = train("--epochs", 4, "--lr", 100, "--batch-size", 8, "--clip")
    assert code == 2 or "far outside the scale" in err[-1]


def test_a_rate_that_grows_fails(train, tmp_path):
    code, _, err = train("--epochs", 6, "--lr", 1, "--lr-decay", 5, "--output", "run")
    assert code == 2
    assert err[-1].startswith("autorec: Training diverges: the training RMSE grew from ")
    assert not (tmp_path / "run").exists()


def history(*train_rmses: float, validation: tuple[float, ...] = ()) -> History:
    epochs = [
        Epoch(n, rmse, validation[n - 1] if validation else None, None, 1.0, 1.0, 1.0)
        for n, rmse in enumerate(train_rmses, 1)
    ]
    return History(epochs)


@pytest.mark.parametrize(
    ("run", "scale"),
    [
        (history(3.7, 1.0, 0.9), (1.0, 5.0)),
        (history(0.9, 4.9), (1.0, 5.0)),  # odd, but no worse than zeros
        (history(300.0, 200.0), (1.0, 5.0)),  # on its way down
        (history(0.9, 80.0, validation=(0.8, 90.0)), (1.0, 5.0)),  # the first epoch is kept
        (history(60.0, 70.0), (0.0, 100.0)),
        (history(1.0, 1.5), (-2.0, 2.0)),
    ],
)
def test_what_has_converged(run, scale):
    check_converged([run], scale)


def test_what_has_not():
    good = history(3.0, 1.0)
    for run, scale in (
        (history(0.9, 5.1), (1.0, 5.0)),
        (history(1.0, 4.1), (-2.0, 2.0)),
        (history(3.0, 80.0, 9.0), (1.0, 5.0)),
    ):
        with pytest.raises(TrainingError, match=r"grew from .* in epoch 1 to .* in epoch"):
            check_converged([good, run], scale)
    assert doubt([good], (1.0, 5.0), test_rmse=1.0, test_rmse_of_mean=1.1) is None
    said = doubt([good, history(300.0, 200.0)], (1.0, 5.0), 1.0, test_rmse_of_mean=1.1)
    assert "far outside the scale of the ratings, 1 to 5 (RMSE 200)" in said
    assert "worse than the mean" in doubt([good], (1.0, 5.0), 1.2, test_rmse_of_mean=1.1)
