"""Run notebooks again and save what they give: ``python notebooks/refresh.py [autorec] [...]``.

The Portuguese lesson is not run: it gets its code and its outputs from the English one, by the ids
of the cells. Its text and its pictures' descriptions are its own.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbformat
from ipykernel.kernelspec import write_kernel_spec
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
NAMES = ("autorec", "exercises", "paper")
EDITIONS = {"autorec": ("autorec.pt",)}


def execute(notebook: nbformat.NotebookNode, folder: Path, timeout: int = 3600) -> None:
    """Run a notebook in a folder, by a kernel of this interpreter; its outputs are replaced."""
    with tempfile.TemporaryDirectory() as kernels:
        write_kernel_spec(Path(kernels) / "python3")
        client = NotebookClient(
            notebook,
            timeout=timeout,
            kernel_name="python3",
            coalesce_streams=True,
            record_timing=False,
            resources={"metadata": {"path": str(folder)}},
        )
        client.create_kernel_manager()
        client.km.kernel_spec_manager.kernel_dirs = [kernels]
        client.execute()


def translate(notebook: nbformat.NotebookNode, edition: nbformat.NotebookNode) -> None:
    """Give an edition in another language the code and the outputs of a notebook."""
    code = {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}
    for cell in edition.cells:
        if cell.cell_type == "code":
            cell.update({key: code[cell.id][key] for key in ("source", "outputs")})
            cell.execution_count = code[cell.id].execution_count


def main(names: list[str]) -> None:
    for name in names or NAMES:
        path = FOLDER / f"{name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        language = notebook.metadata.get("language_info")
        execute(notebook, FOLDER)
        notebook.metadata.language_info = language  # with the version that ran it, it would change
        nbformat.write(notebook, path)
        for edition in EDITIONS.get(name, ()):
            copy = nbformat.read(FOLDER / f"{edition}.ipynb", as_version=4)
            translate(notebook, copy)
            nbformat.write(copy, FOLDER / f"{edition}.ipynb")


if __name__ == "__main__":
    main(sys.argv[1:])
