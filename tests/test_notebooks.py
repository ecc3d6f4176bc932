"""The notebook: it runs from top to bottom, and what is committed is what it gives."""

import copy
import importlib.util
import json
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "autorec.ipynb"
REFRESH = (
    "the saved outputs are out of date: jupyter nbconvert --to notebook --execute --inplace "
    "--ExecutePreprocessor.record_timing=False notebooks/autorec.ipynb"
)


@pytest.fixture(scope="module")
def committed():
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def executed(committed, ml_100k, tmp_path_factory):
    """Run a copy of the notebook in an empty folder, with one cell more that prints its results."""
    for package in ("d2l", "ipykernel"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(
                f"the notebook needs {package}, which is not installed; d2l is not for Python 3.12"
            )
    from ipykernel.kernelspec import write_kernel_spec
    from nbclient import NotebookClient

    notebook = copy.deepcopy(committed)
    notebook.cells.append(nbformat.v4.new_code_cell("import json; print(json.dumps(results))"))
    # A kernel of this interpreter, whatever others Jupyter knows.
    share = tmp_path_factory.mktemp("share")
    write_kernel_spec(str(share / "kernels" / "python3"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(share))
        folder = str(tmp_path_factory.mktemp("notebook"))
        NotebookClient(
            notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}
        ).execute()
    return notebook


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook, cell_id):
    (cell,) = (cell for cell in notebook.cells if cell.id == cell_id)
    return "".join(output.get("text", "") for output in cell.outputs)


def test_it_runs_and_gives_the_errors_that_are_known(executed):
    results = json.loads(code_cells(executed)[-1].outputs[0].text)
    rival, *autorec = results.values()
    assert len(autorec) == 2
    assert all(0.85 < rmse <= 0.91 for rmse in autorec)
    assert 0.88 < rival < 0.93, "a rival this bad or this good was not trained as it says"


def test_it_writes_nothing_to_stderr(executed):
    streams = [output for cell in code_cells(executed) for output in cell.outputs]
    assert [output.text for output in streams if output.get("name") == "stderr"] == []


def test_what_is_committed_was_run_once_from_top_to_bottom(committed):
    cells = code_cells(committed)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    quiet = {"imports", "mf-model", "mf-train", "tune", "final"}
    assert [cell.id for cell in cells if not cell.outputs and cell.id not in quiet] == []


def test_what_is_committed_is_clean(committed):
    outputs = [output for cell in code_cells(committed) for output in cell.outputs]
    assert not any(output.output_type == "error" for output in outputs)
    assert not any(output.get("name") == "stderr" for output in outputs)
    assert not re.search(r"/(home|root|tmp|work|Users)/|Traceback|Warning", json.dumps(outputs))
    assert NOTEBOOK.stat().st_size < 300_000


def test_each_figure_is_shown_once(committed):
    figures = {
        cell.id: sum("image/" in " ".join(output.get("data", {})) for output in cell.outputs)
        for cell in code_cells(committed)
    }
    assert {name: n for name, n in figures.items() if n} == {
        "fit": 1, "learning-curve": 1, "choose": 1,
    }  # fmt: skip


def test_what_is_committed_is_what_it_gives(committed, executed):
    # Where it runs on another processor or a GPU, sums are rounded otherwise.
    number = re.compile(r"RMSE (\d\.\d+)")
    for cell_id in ("accuracy", "results"):
        before, after = (
            [float(rmse) for rmse in number.findall(printed(notebook, cell_id))]
            for notebook in (committed, executed)
        )
        assert before == pytest.approx(after, abs=0.005), REFRESH
    assert printed(committed, "model-source") == printed(executed, "model-source"), REFRESH
