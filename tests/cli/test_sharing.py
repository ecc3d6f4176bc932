"""What the workers of a job share where nothing is said: columns where the net allows it."""

import json

import pytest
from support.command_line import command_line

from autorec.distributed.roles import Role
from autorec.distributed.workers import Workers
from autorec.recommender.presets import Parameters
from autorec.recommender.settings_file import write_settings


@pytest.fixture
def job(monkeypatch):
    """The only worker of a job, in this process."""
    role = Role("worker", num_workers=1, num_servers=1)
    monkeypatch.setattr(Role, "from_environment", lambda: role)
    monkeypatch.setattr(Workers, "join", lambda kvstore: Workers())


@pytest.mark.parametrize(
    ("options", "shared"),
    [
        ([], "columns"),
        (["--view", "user", "--normalise", "--averaging", "0.9"], "columns"),
        (["--parallel", "rows"], "rows"),
        (["--members", "2"], "rows"),
        (["--ratings-out", "biases"], "rows"),
        (["--optimizer", "lamb"], "rows"),
        (["--compute", "dense"], "rows"),
    ],
)
def test_workers_share_columns_where_the_net_allows_it(
    job, ratings_file, tmp_path, monkeypatch, options, shared
):
    monkeypatch.chdir(tmp_path)
    given = ["--ratings", "films.csv", "--hidden", 2, "--epochs", 1, "--devices", "cpu"]
    given += ["--kvstore", "dist_sync", "--checkpoint-every", 1, "--output", "run", *options]
    assert command_line(monkeypatch, *given) == 0
    assert json.loads((tmp_path / "run/metrics.json").read_text())["config"]["parallel"] == shared


def test_a_job_goes_on_as_it_began(job, ratings_file, tmp_path, monkeypatch):
    """Checkpoints without a named folder are those of rows, also when the run is resumed."""
    monkeypatch.chdir(tmp_path)
    given = ["--ratings", "films.csv", "--hidden", 2, "--epochs", 1, "--devices", "cpu"]
    given += ["--kvstore", "dist_sync", "--checkpoint-every", 1]
    assert command_line(monkeypatch, *given) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert command_line(monkeypatch, "--resume", run, "--epochs", 2) == 0
    assert json.loads((run / "metrics.json").read_text())["config"]["parallel"] == "rows"


def test_what_stands_in_the_way_of_columns_is_said(
    job, ratings_file, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    given = ["--ratings", "films.csv", "--kvstore", "dist_sync", "--parallel", "columns"]
    assert command_line(monkeypatch, *given, "--optimizer", "sgld") == 2
    assert "another one than sgld, or train with --parallel rows" in capsys.readouterr().err
    assert command_line(monkeypatch, *given, "--checkpoint-every", 1) == 2
    assert "name the folder of the run with --output" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--members", 2], "leave --members at 1, or name the file that was split"),
        (["--parallel", "rows"], "name the file itself to share rows"),
        (["--split", "seq-aware"], "name the file that it was split from"),
        (["--duplicates", "last"], "name the file that it was split from"),
    ],
)
def test_split_ratings_are_shared_by_columns_or_not_at_all(
    job, tmp_path, monkeypatch, capsys, options, said
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films-1").mkdir()
    given = ["--ratings", "films-1", "--kvstore", "dist_sync"]
    assert command_line(monkeypatch, *given, *options) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--validation-ratio", 2], ["--ratings", "no.csv"]])
def test_what_is_wrong_is_said_before_others_are_waited_for(
    job, ratings_file, tmp_path, monkeypatch, wrong
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Workers, "join", lambda kvstore: pytest.fail("it waits for others"))
    given = ["--ratings", "films.csv", "--kvstore", "dist_sync", *wrong]
    assert command_line(monkeypatch, *given) == 2


def test_a_job_reads_what_it_was_given_open(job, ratings_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ratings_file.open("rb") as file:
        given = ["--ratings", f"/dev/fd/{file.fileno()}", "--kvstore", "dist_sync", "--hidden", 2]
        assert command_line(monkeypatch, *given, "--epochs", 1, "--output", "run") == 0


def test_settings_that_may_have_seen_what_is_held_out_are_said(
    job, ratings_file, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    about = {"sha256_table": "0" * 64, "sha256_ratings": "1" * 64}
    write_settings(tmp_path / "settings.json", Parameters(num_hidden=2, num_epochs=1), about)
    given = ["--ratings", "films.csv", "--settings", "settings.json", "--kvstore", "dist_sync"]
    assert command_line(monkeypatch, *given, "--output", "run") == 0
    assert "may have been chosen on ratings held out here" in capsys.readouterr().err
