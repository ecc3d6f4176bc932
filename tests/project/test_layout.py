"""The tests follow the tree of the library."""

import ast
from pathlib import Path

from support import ROOT, TESTS

MODULES = sorted(TESTS.rglob("test_*.py"))


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_each_folder_of_tests_is_a_package_of_the_library_or_one_of_two_more():
    packages = {path.parent.name.strip("_") for path in Path(ROOT, "autorec").rglob("__init__.py")}
    folders = {path.parent.name for path in MODULES} - {TESTS.name}
    assert folders <= packages | {"processes", "project"}


def test_no_two_test_modules_have_the_same_name():
    assert len({path.name for path in MODULES}) == len(MODULES)


def test_no_test_module_is_imported_by_another():
    for path in TESTS.rglob("*.py"):
        assert not [name for name in imported(path) if name.split(".")[-1].startswith("test_")]


def test_what_starts_processes_stands_apart():
    for path in MODULES:
        if path.parent.name not in ("processes", "project"):
            assert "subprocess" not in imported(path), path
