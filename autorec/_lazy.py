"""Lazy: a package's public names, whose modules are imported when they are first used.

MXNet takes a second to import: what needs none starts at once, and works without it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType


def imported_when_used(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], object]:
    """Return a package's ``__getattr__``.

    Parameters
    ----------
    package : str
    homes : mapping of str to sequence of str
        For each of its modules, the public names that are in it.
    """
    home = {name: module for module, names in homes.items() for name in names}

    def find(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found: object = getattr(importlib.import_module(f"{package}.{home[name]}"), name)
        return found

    return find


def moved(old: str, new: str) -> None:
    """Let a module be imported from where it was, too: its names are those of the new place."""
    module = ModuleType(old, f"The old place of `{new}`.")
    vars(module)["__getattr__"] = lambda name: getattr(importlib.import_module(new), name)
    package, _, name = old.rpartition(".")
    sys.modules[old] = vars(sys.modules[package])[name] = module
