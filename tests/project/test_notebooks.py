"""The notebooks: they run from top to bottom, and what is committed is what they give."""

import copy
import importlib.util
import json
import re
import runpy
import sys
from functools import cache

import pytest
from support import ROOT

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")

FOLDER = ROOT / "notebooks"
#: By notebook: the environment that it is run in.
NOTEBOOKS = {"autorec": {}, "exercises": {"AUTOREC_QUICK": "1"}, "paper": {}}
#: In another language, by the notebook that they are made from.
EDITIONS = {"autorec": "autorec.pt"}
#: Code cells that show nothing.
QUIET = {
    "autorec": {"imports", "model", "evaluator", "train"},
    "exercises": {"imports", "trial-code", "depth-train"},
    "paper": {"beside-code"},
}
#: A cell more at the end of a copy, that prints what a test looks at.
LAST = {
    "autorec": "import json; print(json.dumps(results))",
    "exercises": "print(result.rmse)",
    "paper": "print(sum(map(len, summary.values())))",
}
FIGURES = {
    "autorec": {"learning-curve", "holes"},
    "exercises": {"size-plot", "depth-plot", "activation-plot"},
    "paper": {"models-plot", "activations-plot", "hidden-plot", "small-plot"},
}
REFRESH = "the saved outputs are out of date: python notebooks/refresh.py"
each_notebook = pytest.mark.parametrize("name", NOTEBOOKS)
each_edition = pytest.mark.parametrize("name", EDITIONS)
each_file = pytest.mark.parametrize("name", [*NOTEBOOKS, *EDITIONS.values()])


@cache
def committed(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


@pytest.fixture(scope="module")
def execute(request, tmp_path_factory):
    """Run a copy of a notebook, with one cell more that prints its results; once each."""
    pytest.importorskip("ipykernel")
    run_in = runpy.run_path(str(FOLDER / "refresh.py"))["execute"]

    @cache
    def run(name):
        if name == "autorec" and not (
            sys.version_info >= (3, 12) or importlib.util.find_spec("d2l")
        ):
            pytest.skip("the lesson takes a minute: make oracle runs it, and Python 3.12")
        if name != "paper":
            request.getfixturevalue("ml_100k")
        notebook = copy.deepcopy(committed(name))
        notebook.cells.append(nbformat.v4.new_code_cell(LAST[name]))
        # The paper's results are found from its folder; the others need nothing around them.
        folder = FOLDER if name == "paper" else tmp_path_factory.mktemp("notebook")
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in NOTEBOOKS[name].items():
                patch.setenv(variable, value)
            run_in(notebook, folder, timeout=600)
        return notebook

    return run


def cells(notebook, kind="code"):
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def printed(notebook, cell_id):
    (cell,) = (cell for cell in notebook.cells if cell.id == cell_id)
    return "".join(output.get("text", "") for output in cell.outputs)


def last_output(notebook):
    return json.loads(cells(notebook)[-1].outputs[0].text)


def shows_a_figure(cell):
    return any("image/" in " ".join(output.get("data", {})) for output in cell.outputs)


def test_the_lesson_runs_and_gives_the_errors_that_are_known(execute):
    rival, *autorec = last_output(execute("autorec")).values()
    assert len(autorec) == 2
    assert all(0.85 < rmse <= 0.91 for rmse in autorec)
    assert 0.88 < rival < 0.93, "a rival this bad or this good was not trained as it says"


def test_the_exercises_run_quickly(execute):
    assert 0.9 < last_output(execute("exercises")) < 2, "two epochs, of which little can be said"


def test_the_papers_results_are_found(execute):
    assert last_output(execute("paper")) > 0


@each_notebook
def test_it_writes_nothing_to_stderr(name, execute):
    streams = [output for cell in cells(execute(name)) for output in cell.outputs]
    assert [output.text for output in streams if output.get("name") == "stderr"] == []


@each_notebook
def test_what_is_committed_was_run_once_from_top_to_bottom(name):
    code = cells(committed(name))
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert [cell.id for cell in code if not cell.outputs and cell.id not in QUIET[name]] == []


@each_file
def test_what_is_committed_is_clean(name):
    outputs = [output for cell in cells(committed(name)) for output in cell.outputs]
    assert not any(output.output_type == "error" for output in outputs)
    assert not any(output.get("name") == "stderr" for output in outputs)
    assert not re.search(r"/(home|root|tmp|work|Users)/|Traceback|Warning", json.dumps(outputs))
    assert not any("execution" in cell.metadata for cell in committed(name).cells), "timings"
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 600 * 1024


@each_notebook
def test_each_figure_is_shown_once(name):
    found = [cell.id for cell in cells(committed(name)) if shows_a_figure(cell)]
    assert sorted(found) == sorted(FIGURES[name])


@each_file
def test_each_figure_is_described(name):
    for cell in filter(shows_a_figure, cells(committed(name))):
        # nbconvert's classic page reads the one, the site the other.
        assert len(cell.metadata["alt"]) > 50
        assert cell.metadata["mystnb"]["image"]["alt"] == cell.metadata["alt"]


@each_file
def test_links_to_files_lead_somewhere(name):
    text = "\n".join(cell.source for cell in cells(committed(name), "markdown"))
    files = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert files
    assert [file for file in files if not (FOLDER / file).is_file()] == []


@each_edition
def test_an_edition_has_the_same_code_and_the_same_outputs(name):
    original, edition = (committed(each) for each in (name, EDITIONS[name]))
    assert [cell.id for cell in edition.cells] == [cell.id for cell in original.cells]
    for ours, theirs in zip(cells(original), cells(edition)):
        for key in ("source", "outputs", "execution_count"):
            assert theirs[key] == ours[key], REFRESH
    assert edition.metadata == original.metadata


@each_edition
def test_an_edition_has_the_same_formulas_in_words_of_its_own(name):
    texts = [cells(committed(each), "markdown") for each in (name, EDITIONS[name])]
    for ours, theirs in zip(*texts):
        formulas = [
            re.sub(r"\\text\{[^}]*\}", "", " ".join(re.findall(r"\$\$.*?\$\$", text, re.DOTALL)))
            for text in (ours.source, theirs.source)
        ]
        assert formulas[0] == formulas[1]
        assert ours.source.split("\n")[-1] != theirs.source.split("\n")[-1]
    described = [
        [cell.metadata["alt"] for cell in cells(committed(each)) if "alt" in cell.metadata]
        for each in (name, EDITIONS[name])
    ]
    assert not set(described[0]) & set(described[1])


def test_what_is_committed_is_what_the_lesson_gives(execute):
    # Where it runs on another processor or a GPU, sums are rounded otherwise.
    executed = execute("autorec")
    number = re.compile(r"RMSE (\d\.\d+)")
    for cell_id in ("final", "user-view"):
        before, after = (
            [float(rmse) for rmse in number.findall(printed(notebook, cell_id))]
            for notebook in (committed("autorec"), executed)
        )
        assert len(before) == 3
        assert before == pytest.approx(after, abs=0.005), REFRESH
    for cell_id in ("load", "decay-check", "library-check"):
        assert printed(committed("autorec"), cell_id) == printed(executed, cell_id), REFRESH
