"""What the README shows is what happens."""

import re

from support import ROOT

import autorec

README = ROOT / "README.md"


def test_it_is_one_page():
    assert len(README.read_text().split()) <= 900


def test_the_example_runs(ml_100k, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    names: dict[str, object] = {}
    exec(compile(example, README.name, "exec"), names)
    printed = capsys.readouterr().out
    model = names["model"]
    assert isinstance(model, autorec.Recommender)
    for title in model.recommend(42, titles=autorec.read_titles("100k"))["title"]:
        assert title[:20] in printed
    assert list(tmp_path.iterdir()) == []


def test_every_public_name_is_there():
    for name in autorec.__all__:
        assert getattr(autorec, name).__doc__, name
    assert set(autorec.__all__) <= set(dir(autorec))
