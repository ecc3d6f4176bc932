"""The documentation: the Python on each page runs, and every public name has an example.

Pages are run from top to bottom, each in a folder of its own, on ratings that are made up here and
stand where MovieLens-100K would; the preset "best" ends after few epochs here.
"""

import ast
import doctest
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import metadata
from pathlib import Path

import pandas as pd
import pytest
from support import ROOT

import autorec
from autorec.data.movielens.releases import RELEASES
from autorec.distributed.launch import free_ports
from autorec.recommender.presets import PRESETS

PAGES = {page.stem: page.read_text() for page in sorted((ROOT / "docs").glob("*.md"))}
BLOCK = r"^```(?:python|pycon)\n(.*?)^```$"
#: Whose Python is a worker's, of which a job is made below.
OF_A_JOB = "several-machines"
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(text: str) -> list[str]:
    return re.findall(BLOCK, text, re.M | re.S)


@pytest.fixture
def place(tmp_path, rng, monkeypatch) -> Path:
    """A folder with ratings.csv and the benchmarks, and a cache with a made-up MovieLens-100K."""
    item, user = (rng.random((120, 60)) < 0.4).nonzero()
    taste = rng.normal(size=(120, 2)) @ rng.normal(size=(2, 60))
    table = pd.DataFrame({"user": user + 1, "item": item + 1})
    stars = 3.5 + taste[item, user] + 0.5 * rng.normal(size=len(table))
    table["rating"] = stars.round().clip(1, 5).astype(int)
    table["time"] = 880_000_000 + rng.permutation(len(table))
    release = tmp_path / "cache" / "ml-100k"
    release.mkdir(parents=True)
    table.to_csv(release / "u.data", sep="\t", header=False, index=False)
    titles = "".join(f"{n}|Film {n} ({1900 + n})|01-Jan-1995\n" for n in range(1, 121))
    (release / "u.item").write_text(titles)
    monkeypatch.setitem(RELEASES, "100k", replace(RELEASES["100k"], sha1=None))
    monkeypatch.setenv("AUTOREC_DATA", str(release.parent))
    monkeypatch.setitem(PRESETS["best"], "num_epochs", 15)
    folder = tmp_path / "folder"
    folder.mkdir()
    table.to_csv(folder / "ratings.csv", index=False)
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("page", [name for name in PAGES if name != OF_A_JOB])
def test_the_python_of_a_page_runs_from_top_to_bottom(page, place):
    names: dict[str, object] = {"__name__": "__main__"}
    runner = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False)
    for number, block in enumerate(blocks(PAGES[page])):
        if "onnx" in block:
            pytest.importorskip("onnxruntime")
        title = f"{page}, block {number + 1}"
        if ">>> " in block:
            test = doctest.DocTestParser().get_doctest(block, names, title, None, 0)
            said: list[str] = []
            runner.run(test, out=said.append, clear_globs=False)
            assert not runner.failures, "".join(said)
            names.update(test.globs)
        else:
            exec(compile(block, title, "exec"), names)


def test_the_worker_of_several_machines_runs_in_a_job(place):
    (block,) = blocks(PAGES[OF_A_JOB])
    (place / "worker.py").write_text(block)
    (port,) = free_ports(1)
    job = {
        "DMLC_PS_ROOT_URI": "127.0.0.1",
        "DMLC_PS_ROOT_PORT": str(port),
        "DMLC_NUM_WORKER": "1",
        "DMLC_NUM_SERVER": "1",
        "DMLC_NODE_HOST": "127.0.0.1",
    }
    serve = ["-m", "autorec.distributed.roles"]
    roles = {"scheduler": serve, "server": serve, "worker": ["worker.py"]}
    running = [
        subprocess.Popen([sys.executable, *what], env={**os.environ, **job, "DMLC_ROLE": role})
        for role, what in roles.items()
    ]
    try:
        assert [process.wait(120) for process in running] == [0, 0, 0]
    finally:
        for process in running:
            process.kill()
    assert autorec.Recommender.load("model").ratings_.num_users == 60


def test_blocks_of_python_that_do_not_run_are_none():
    for page, text in PAGES.items():
        fences = re.findall(r"^ *(?:```|:::|~~~) *\{?(?:code-block\}? )?(py\w*)", text, re.M)
        assert len(fences) == len(blocks(text)), page


def test_every_public_name_has_an_example():
    text = PAGES["reference"]
    documented = set(
        re.findall(r"^\.\. auto(?:class|function|exception):: autorec\.(\w+)$", text, re.M)
    )
    assert documented == set(autorec.__all__)
    examples = "".join(blocks(text))
    unused = {name for name in autorec.__all__ if not re.search(rf"\b{name}\b", examples)}
    assert not unused


def test_every_link_to_a_file_leads_to_one():
    for page, text in PAGES.items():
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)", text):
            assert (ROOT / "docs" / target).exists(), f"{page}.md links to {target}"


def test_what_is_cited_is_this_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {autorec.__version__}\n" in citation


def test_a_page_that_is_not_in_english_says_so():
    text = (ROOT / "docs" / "conf.py").read_text()
    languages = ast.literal_eval(re.search(r"^LANGUAGES = (.*)$", text, re.M)[1])
    editions = {f"notebooks/{path.stem}" for path in (ROOT / "notebooks").glob("*.pt.ipynb")}
    assert {page for page, language in languages.items() if language == "pt-BR"} == editions


def test_every_extra_of_a_user_is_told_of():
    every = set(metadata("gluon-autorec").get_all("Provides-Extra"))
    table = set(re.findall(r"^\| `(\w+)` \|", PAGES["start"], re.M))
    assert table == every - {"bench", "dev", "docs", "test"}
