"""What the README shows is what happens."""

import re

import pytest
from support import ROOT

import autorec

README = ROOT / "README.md"


def test_the_examples_run_and_give_what_they_say(ml_100k, capsys, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    outputs = []
    examples = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    for example in examples:
        exec(compile(example, README.name, "exec"), names)
        outputs.append(capsys.readouterr().out)
    shown = re.search(r"# (Accuracy\(rmse=)([\d.]+)\.\.\., mae=([\d.]+)\.\.\.", examples[0])
    rmse, mae = re.search(r"rmse=([\d.]+), mae=([\d.]+)", outputs[0]).groups()
    assert shown is not None
    # Shown are two digits; 25 epochs end elsewhere in the third on another processor.
    assert [float(rmse), float(mae)] == pytest.approx([float(shown[2]), float(shown[3])], abs=0.01)
    # Served from ONNX, the list is the model's own, but for the order of scores that are alike.
    recommended, items = names["model"].recommend(42), names["items"]
    best = names["scores"][names["best"]]
    theirs = names["scores"][items.get_indexer(recommended["item"])]
    assert theirs == pytest.approx(best, abs=1e-4)
    assert recommended["rating"].to_numpy() == pytest.approx(best.clip(1, 5), abs=1e-4)


def test_every_public_name_is_there():
    for name in autorec.__all__:
        assert getattr(autorec, name).__doc__, name
    assert set(autorec.__all__) <= set(dir(autorec))
