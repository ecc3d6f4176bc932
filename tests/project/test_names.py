"""The lists of public names agree: what is offered, where it is, and what the documents import."""

import ast
import importlib
import json
import re
from pathlib import Path

import pytest
from support import ROOT

import autorec
from autorec import section

PACKAGES = sorted(
    ".".join(path.parent.relative_to(ROOT).parts)
    for path in Path(ROOT, "autorec").rglob("__init__.py")
    if "__getattr__" in path.read_text()
)


def homes(package):
    """Return the package's table of lazy names, by AST: for each name, the module that has it."""
    for node in ast.walk(ast.parse(Path(package.__file__).read_text())):
        if isinstance(node, ast.Dict) and all(isinstance(v, ast.Tuple) for v in node.values):
            found = ast.literal_eval(node)
            return {name: module for module, names in found.items() for name in names}
    raise AssertionError(f"{package.__name__} has no table of lazy names")


def told_to_type_checkers(package):
    """Return the names that are imported while types are checked, with their modules."""
    (block,) = (
        node
        for node in ast.parse(Path(package.__file__).read_text()).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    return {alias.asname or alias.name: node.module for node in block.body for alias in node.names}


@pytest.mark.parametrize("name", PACKAGES)
def test_what_is_offered_is_found_where_it_is_said_to_be(name):
    package = importlib.import_module(name)
    assert len(package.__all__) == len(set(package.__all__))
    # What needs nothing that takes long to import is imported at once.
    at_once = {each for each in package.__all__ if each not in homes(package)}
    assert at_once <= vars(package).keys()
    assert {*homes(package)} <= set(package.__all__)
    assert homes(package) == told_to_type_checkers(package)
    for each, module in homes(package).items():
        home = importlib.import_module(f"{name}.{module}")
        assert getattr(package, each) is getattr(home, each)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing


def test_dir_shows_every_public_name():
    assert set(autorec.__all__) <= set(dir(autorec))


def test_the_sections_names_are_autorecs():
    assert set(section.__all__) <= set(autorec.__all__)
    for name in section.__all__:
        assert getattr(section, name) is getattr(autorec, name)


def code(path):
    """Return the Python code of a notebook, or of a document's examples."""
    text = path.read_text()
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    return "\n".join(re.findall(r"```python\n(.*?)```", text, re.S))


DOCUMENTS = [
    ROOT / "README.md",
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "notebooks").glob("*.ipynb"),
]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_imports_is_there(path):
    lines = [line for line in code(path).splitlines() if not line.startswith(("%", "!"))]
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "autorec":
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")


def test_something_is_imported_by_the_documents():
    assert any("import" in code(path) for path in DOCUMENTS)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("autorec.tables", "autorec.experiments.tables", "TABLES"),
        ("autorec.workers", "autorec.distributed.workers", "Workers"),
    ],
)
def test_what_the_documents_of_0_1_0_import_is_still_there(old, new, name):
    assert getattr(importlib.import_module(old), name) is getattr(
        importlib.import_module(new), name
    )


def test_the_tree_shows_at_most_fifteen_public_names():
    shown = {path.name.partition(".")[0] for path in (ROOT / "autorec").iterdir()}
    assert len({name for name in shown if not name.startswith("_")} - {"py"}) <= 15
