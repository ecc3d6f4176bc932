"""The notebooks: they run from top to bottom, and what is committed is what they give."""

import copy
import importlib.util
import json
import re
from functools import cache

import pytest
from support import ROOT

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")

FOLDER = ROOT / "notebooks"
#: By notebook: the packages that it needs besides ours, and the environment that it is run in.
NOTEBOOKS = {
    "autorec": (("d2l", "ipykernel"), {}),
    "exercises": (("ipykernel",), {"AUTOREC_QUICK": "1"}),
    "paper": (("ipykernel",), {}),
}
#: Code cells that show nothing.
QUIET = {
    "autorec": {"imports", "mf-model", "mf-train", "tune", "final"},
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
    "autorec": {"fit", "learning-curve", "choose"},
    "exercises": {"size-plot", "depth-plot", "activation-plot"},
    "paper": {"models-plot", "activations-plot", "hidden-plot", "small-plot"},
}
REFRESH = (
    "the saved outputs are out of date: jupyter nbconvert --to notebook --execute --inplace "
    "--ExecutePreprocessor.record_timing=False notebooks/autorec.ipynb"
)
each_notebook = pytest.mark.parametrize("name", NOTEBOOKS)


@cache
def committed(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


@pytest.fixture(scope="module")
def execute(request, tmp_path_factory):
    """Run a copy of a notebook, with one cell more that prints its results; once each."""

    @cache
    def run(name):
        packages, environment = NOTEBOOKS[name]
        for package in packages:
            if importlib.util.find_spec(package) is None:
                pytest.skip(f"the notebook needs {package}, which is not installed: make oracle")
        if name != "paper":
            request.getfixturevalue("ml_100k")
        from ipykernel.kernelspec import write_kernel_spec
        from nbclient import NotebookClient

        notebook = copy.deepcopy(committed(name))
        notebook.cells.append(nbformat.v4.new_code_cell(LAST[name]))
        # A kernel of this interpreter, whatever others Jupyter knows.
        share = tmp_path_factory.mktemp("share")
        write_kernel_spec(str(share / "kernels" / "python3"))
        # The paper's results are found from its folder; the others need nothing around them.
        folder = FOLDER if name == "paper" else tmp_path_factory.mktemp("notebook")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JUPYTER_PATH", str(share))
            for variable, value in environment.items():
                patch.setenv(variable, value)
            NotebookClient(
                notebook,
                timeout=600,
                kernel_name="python3",
                resources={"metadata": {"path": str(folder)}},
            ).execute()
        return notebook

    return run


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook, cell_id):
    (cell,) = (cell for cell in notebook.cells if cell.id == cell_id)
    return "".join(output.get("text", "") for output in cell.outputs)


def last_output(notebook):
    return json.loads(code_cells(notebook)[-1].outputs[0].text)


def test_it_runs_and_gives_the_errors_that_are_known(execute):
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
    streams = [output for cell in code_cells(execute(name)) for output in cell.outputs]
    assert [output.text for output in streams if output.get("name") == "stderr"] == []


@each_notebook
def test_what_is_committed_was_run_once_from_top_to_bottom(name):
    cells = code_cells(committed(name))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert [cell.id for cell in cells if not cell.outputs and cell.id not in QUIET[name]] == []


@each_notebook
def test_what_is_committed_is_clean(name):
    outputs = [output for cell in code_cells(committed(name)) for output in cell.outputs]
    assert not any(output.output_type == "error" for output in outputs)
    assert not any(output.get("name") == "stderr" for output in outputs)
    assert not re.search(r"/(home|root|tmp|work|Users)/|Traceback|Warning", json.dumps(outputs))
    assert not any("execution" in cell.metadata for cell in committed(name).cells), "timings"
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 400_000


@each_notebook
def test_each_figure_is_shown_once(name):
    figures = {
        cell.id: sum("image/" in " ".join(output.get("data", {})) for output in cell.outputs)
        for cell in code_cells(committed(name))
    }
    assert {cell_id: n for cell_id, n in figures.items() if n} == dict.fromkeys(FIGURES[name], 1)


def test_what_is_committed_is_what_it_gives(execute):
    # Where it runs on another processor or a GPU, sums are rounded otherwise.
    executed = execute("autorec")
    number = re.compile(r"RMSE (\d\.\d+)")
    for cell_id in ("accuracy", "results"):
        before, after = (
            [float(rmse) for rmse in number.findall(printed(notebook, cell_id))]
            for notebook in (committed("autorec"), executed)
        )
        assert before == pytest.approx(after, abs=0.005), REFRESH
    assert printed(committed("autorec"), "model-source") == printed(executed, "model-source"), (
        REFRESH
    )
