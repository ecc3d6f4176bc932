"""A hyperparameter that a copy of the library declares is found in every place."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import autorec

PROGRAM = """
import json, sys
from pathlib import Path
import autorec
from autorec import AutoRec, Checkpoints, Interactions, Recommender, fit, read_ratings
from autorec._mxnet import mx
from autorec.errors import ConfigurationError

ratings = read_ratings("films.csv")
inputs = Interactions.from_ratings(ratings)
found = {}

def run(colour, resume=False):
    net, where = AutoRec(3, inputs.shape[1]), Checkpoints(Path("checkpoints"))
    options = {"contexts": [mx.cpu()], "checkpoints": where, "resume": resume}
    fit(net, inputs, num_epochs=1, colour=colour, **options)

run(0.25)
try:
    run(0.75, resume=True)
except ConfigurationError as error:
    found["resumed"] = str(error)
try:
    Recommender(colour=2.0)
except ConfigurationError as error:
    found["bounds"] = str(error)
model = Recommender(colour=0.25, num_hidden=3, num_epochs=1, devices="cpu")
found["params"] = model.get_params()["colour"]
found["repr"] = repr(model)
model.fit(ratings).save("model")
found["manifest"] = json.loads(Path("model/manifest.json").read_text())["body"]["config"]["colour"]
found["loaded"] = Recommender.load("model").colour
print(json.dumps(found))
"""


def ran(*command, cwd):
    return subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, capture_output=True, text=True, check=True
    ).stdout


def test_a_field_more_is_found_everywhere(tmp_path, ratings_file, monkeypatch):
    package = Path(shutil.copytree(Path(autorec.__file__).parent, tmp_path / "copy" / "autorec"))
    place = next(path for path in package.rglob("*.py") if "class Settings:" in path.read_text())
    text = place.read_text()
    declared = '    colour: float = setting(0.5, "How bright.", least=0, most=1)\n\n'
    place.write_text(text.replace("    def __post_init__", declared + "    def __post_init__", 1))
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    found = json.loads(ran("-c", PROGRAM, cwd=ratings_file.parent))
    assert "colour 0.25, not 0.75" in found["resumed"]
    assert found["bounds"] == "colour (--colour) must be at most 1, not 2.0."
    assert found["params"] == found["manifest"] == found["loaded"] == 0.25
    assert "colour=0.25" in found["repr"]
    assert re.search(
        r"--colour\b.*How bright", ran("-m", "autorec", "train", "--help", cwd=tmp_path)
    )
    quick = ["--ratings", ratings_file, "--hidden", 3, "--epochs", 1, "--output", "run", "--quiet"]
    ran("-m", "autorec", "train", *quick, "--colour", 0.75, cwd=tmp_path)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["config"]["colour"] == 0.75
