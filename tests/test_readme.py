"""What the README shows is what happens."""

import re
from pathlib import Path

import autorec

README = Path(__file__).parents[1] / "README.md"


def test_the_example_runs_and_gives_what_it_says(ml_100k, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    exec(compile(example, README.name, "exec"), {})
    shown = re.search(r"# (Accuracy\(rmse=)([\d.]+)\.\.\., mae=([\d.]+)\.\.\.", example)
    rmse, mae = re.search(r"rmse=([\d.]+), mae=([\d.]+)", capsys.readouterr().out).groups()
    assert shown is not None
    assert rmse.startswith(shown[2])
    assert mae.startswith(shown[3])


def test_every_public_name_is_there():
    for name in autorec.__all__:
        assert getattr(autorec, name).__doc__, name
    assert set(autorec.__all__) <= set(dir(autorec))
