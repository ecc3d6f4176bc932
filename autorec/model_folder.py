"""Model folder: what a saved model consists of, written so that a crash loses nothing.

A folder holds a manifest, in JSON, and the files that it names by size and checksum. New files are
written under names of their own beside the old ones; replacing the manifest, one rename, is what
makes them the model. Killed at any moment, the folder holds the old model or the new one, whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .errors import ModelError
from .files import replacing, sha256, sync_folder

FORMAT, VERSION = "autorec model", 1
MANIFEST = "manifest.json"
#: Names of the files that a manifest may name, and of what a killed save may have left.
_OURS = re.compile(r"[a-z]+-[0-9a-f]{16}\.(params|npz)|\.(new|manifest)[^/]*")


def write_model(
    folder: Path, manifest: Mapping[str, Any], files: Mapping[str, Callable[[Path], Any]]
) -> None:
    """Write a model, in the place of one that is there.

    Parameters
    ----------
    folder : Path
        Made if it is not there; its parent exists.
    manifest : mapping
        What the model is, for JSON.
    files : mapping of str to callable
        For each file's name, such as "weights.params", what writes it to a path.

    Raises
    ------
    ModelError
        If the folder holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise ModelError(f"{folder} is a file; name a folder for the model.")
    folder.mkdir(exist_ok=True)
    known = re.compile(rf"{_OURS.pattern}|{re.escape(MANIFEST)}")
    strange = [path.name for path in folder.iterdir() if not known.fullmatch(path.name)]
    if strange or ((folder / MANIFEST).exists() and not _is_ours(folder / MANIFEST)):
        raise ModelError(
            f"{folder} holds {strange[0] if strange else 'a manifest'} that is no part of a model; "
            "name a new folder, or one with a model to replace."
        )
    named = {}
    for name, write in files.items():
        stem, _, suffix = name.partition(".")
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".new", suffix=f".{suffix}")
        os.close(handle)
        write(Path(temporary))
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        facts = _facts(Path(temporary))
        final = f"{stem}-{facts['sha256'][:16]}.{suffix}"
        os.chmod(temporary, 0o644)
        os.replace(temporary, folder / final)
        named[name] = {"file": final, **facts}
    body = {"format": FORMAT, "format_version": VERSION, **manifest, "files": named}
    with replacing(folder / MANIFEST) as path:
        path.write_text(json.dumps({**body, "sha256": _digest(body)}, indent=1) + "\n")
    sync_folder(folder)
    keep = {MANIFEST, *(each["file"] for each in named.values())}
    for path in folder.iterdir():
        if path.name not in keep:
            path.unlink()


def read_model(folder: Path) -> tuple[dict[str, Any], dict[str, Path]]:
    """Read a model's manifest and check its files, without parsing them.

    Returns
    -------
    manifest : dict
    files : dict of str to Path
        By the names that `write_model` was given.

    Raises
    ------
    ModelError
        If it is no model, of a newer format, altered, or a file is missing or not the one that the
        manifest names.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelError(f"{folder} holds no model: it has no {MANIFEST}.")
    try:
        manifest = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged (no JSON); save the model again.") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ModelError(f"{path} does not describe a model of autorec.")
    version = manifest.get("format_version")
    if version != VERSION:
        raise ModelError(
            f"{folder} is in format {version!r}, and this autorec reads format {VERSION}; use a "
            "release that knows it."
        )
    digest = manifest.pop("sha256", None)
    if digest != _digest(manifest):
        raise ModelError(f"{path} was altered: its checksum is not that of its contents.")
    found = {}
    for name, facts in manifest["files"].items():
        if not _OURS.fullmatch(facts["file"]):
            raise ModelError(f"{path} names {facts['file']!r}, which is no file of a model.")
        file = folder / facts["file"]
        if not file.is_file():
            raise ModelError(f"{folder} is incomplete: {facts['file']} is missing.")
        if _facts(file) != {"sha256": facts["sha256"], "size": facts["size"]}:
            raise ModelError(f"{file} is damaged: its checksum is not the manifest's.")
        found[name] = file
    return manifest, found


def _is_ours(path: Path) -> bool:
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("format") == FORMAT


def _facts(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"sha256": sha256(file), "size": path.stat().st_size}


def _digest(manifest: Mapping[str, Any]) -> str:
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
