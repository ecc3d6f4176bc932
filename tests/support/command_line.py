"""Commands, run in this process and in others."""

import sys
from pathlib import Path

import numpy
import pandas as pd
import pytest

from autorec import Recommender
from autorec.cli import app as cli


def command_line(monkeypatch, *arguments):

    monkeypatch.setattr(sys, "argv", ["autorec", "train", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code or 0


RED, OVERRIDE = "\x1b[31m", "\u202e"

HOSTILE = f"{RED}é{OVERRIDE}\nfilm"

#: As it is shown.
HARMLESS = r"\x1b[31mé\u202e\nfilm"

ENCODED = "recommend", "model", "--user", "1", "--include-seen", "-k", "12", "--format"


def hostile_folder(folder: Path) -> Path:
    """Fill a folder with a model, one of whose items has a hostile id, and pairs and titles."""
    rng = numpy.random.default_rng(0)
    item, user = (rng.random((12, 20)) < 0.5).nonzero()
    names = [HOSTILE, *(f"film {i}" for i in range(1, 12))]
    rows = pd.DataFrame(
        {"user": user + 1, "item": [names[i] for i in item], "rating": 1 + (item + user) % 5}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "autorec.recommender.saving.versions", lambda: {"numpy": HOSTILE}, raising=False
        )
        Recommender(num_hidden=4, num_epochs=2, devices="cpu").fit(rows).save(folder / "model")
    rows.to_csv(folder / "ratings.csv", index=False)
    rows[["user", "item"]][10:15].to_csv(folder / "pairs.csv", index=False)
    titles = pd.DataFrame({"item": names, "title": ["[bold]:heart:", *[HOSTILE] * 11]})
    titles.to_csv(folder / "titles.csv", index=False)
    return folder
