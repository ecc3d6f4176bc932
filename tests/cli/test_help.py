"""What the help says, at 80 columns, and where an error of usage sends its reader."""

import sys

import pytest

import autorec
from autorec.cli import app as cli


@pytest.fixture
def said(monkeypatch, capsys):
    """Run a command in a terminal of 80 columns; return its exit code and what it wrote."""

    def said(*arguments, columns=80):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "argv", ["autorec", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code or 0, *capsys.readouterr()

    return said


def commands(text: str) -> dict[str, str]:
    """Return the line of help that each command has."""
    lines = text.split("Commands:\n")[1].splitlines()
    return dict(line.strip().split(maxsplit=1) for line in lines)


def test_a_command_has_one_line_that_ends(said):
    _, text, _ = said("--help")
    found = commands(text)
    assert {"train", "tune", "compare", "launch", "doctor", "data"} <= found.keys()
    assert [line for line in found.values() if not line.endswith(".") or "..." in line] == []
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("command", [[], ["train"], ["recommend"], ["doctor"], ["launch"]])
def test_h_is_help(said, command):
    code, text, err = said(*command, "-h")
    assert (code, err) == (0, "")
    assert said(*command, "--help") == (0, text, "")
    assert text.startswith("Usage: autorec")
    assert "-h, --help" in text


def test_the_version(said):
    assert said("--version") == (0, f"autorec {autorec.__version__}\n", "")


def groups(text: str) -> dict[str, str]:
    """Return what stands below each heading of a help."""
    found, title = {}, ""
    for line in text.splitlines():
        if line and not line.startswith(" "):
            title = line.partition(":")[0]
        found[title] = found.get(title, "") + line + "\n"
    return found


def test_the_options_of_train_are_in_groups(said):
    _, text, _ = said("train", "--help")
    found = groups(text)
    assert list(found) == ["Usage", "Data", "Model", "Training", "Where", "Output", "Options"]
    for group, options in {
        "Data": ["--dataset", "--ratings", "--test-ratio", "--validation-ratio"],
        "Model": ["--preset", "--view", "--hidden", "--clip"],
        "Training": ["--epochs", "--lr", "--wd", "--holdout", "--seed"],
        "Where": ["--devices", "--compute", "--kvstore"],
        "Output": ["--output", "--quiet", "--resume"],
        "Options": ["--help"],
    }.items():
        assert all(f" {option} " in found[group] for option in options), group
    assert max(map(len, text.splitlines())) <= 80


def test_those_of_tune_and_compare_too(said):
    assert "--trials" in groups(said("tune", "--help")[1])["Search"]
    assert "--against" in groups(said("compare", "--help")[1])["Comparison"]


def test_brackets_are_not_eaten(said):
    assert "user, item, rating[, time]" in " ".join(said("train", "--help")[1].split())


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["train", "--fly"], "autorec train"),
        (["train", "--epochs", "many"], "autorec train"),
        (["recommend"], "autorec recommend"),
        (["fly"], "autorec"),
    ],
)
def test_an_error_of_usage_names_the_help_of_its_command(said, arguments, asked):
    code, out, err = said(*arguments)
    assert (code, out) == (2, "")
    assert err.endswith(f"; see {asked} --help.\n")
