"""Storage: a folder that is a model or a checkpoint, written so that a crash loses nothing.

The folder holds a manifest, in JSON, and the files that it names by size and checksum. New files
are written, and read back, under names of their own beside the old ones; replacing the manifest,
one rename, is what makes them the content. Killed at any moment, the folder holds the old content
or the new one, whole. Nothing is pickled.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Callable, TypedDict

from filelock import FileLock, Timeout

from ..errors import AutorecError, DataCorruptError, ModelError
from .files import sha256, sync_folder, write_checked

#: What this release writes; it reads the first format too.
VERSION = 2
MANIFEST, LOCK = "manifest.json", ".lock"
#: No manifest of a real model comes near; a larger one is not even read.
_LARGEST_MANIFEST = 1 << 29
_TEMPORARY = re.compile(r"\.autorec-[0-9a-f]{16}\.new")


@dataclass(frozen=True)
class Kind:
    """What a folder can be.

    Parameters
    ----------
    name : str
    files : tuple of str
        The files that it consists of, such as "weights.params".
    error : type
        Raised where a folder is not what it should be.
    first : tuple of str
        Names that its files had in the first format, if these did not tell their checksums.
    """

    name: str
    files: tuple[str, ...]
    error: type[AutorecError]
    first: tuple[str, ...] = ()

    def owns(self, name: str) -> bool:
        """Return whether a file of that name is part of such a folder, or left by a killed save."""
        hashed = [
            re.escape(_hashed(each, "#")).replace(r"\#", "[0-9a-f]{16}") for each in self.files
        ]
        patterns = [_TEMPORARY.pattern, *hashed]
        return name in (MANIFEST, *self.first) or any(re.fullmatch(p, name) for p in patterns)


class Named(TypedDict, total=False):
    """What a manifest says of a file; a checkpoint of the first format says no size."""

    file: str
    size: int
    sha256: str


MODEL = Kind("model", ("weights.params", "ratings.npz"), ModelError)
CHECKPOINT = Kind("checkpoint", ("arrays.npz",), DataCorruptError, ("arrays.npz", "state.json"))


@contextmanager
def locked(folder: Path, seconds: float, busy: AutorecError) -> Iterator[None]:
    """Make a folder, where it is missing, and keep other processes and threads from writing to it.

    The lock is a file in it that stays; readers need none. A folder that holds nothing else when
    the block is left is gone again.

    Parameters
    ----------
    folder : Path
        Its parent exists.
    seconds : float
        How long to wait for one who writes.
    busy : AutorecError
        Raised if that was not enough.
    """
    path, deadline = folder / LOCK, time.monotonic() + seconds
    while True:
        folder.mkdir(exist_ok=True)
        try:
            # Made here, since the library's older releases heed no umask and follow links.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666))
            mode = path.stat().st_mode & 0o777 | 0o600
            lock = FileLock(str(path), timeout=max(deadline - time.monotonic(), 0), mode=mode)
            lock.acquire()
        except FileNotFoundError:  # gone with the folder, by one whose save had failed
            continue
        except Timeout:
            raise busy from None
        if path.exists():
            break
        lock.release()
    try:
        yield
    finally:
        with suppress(OSError):
            if [each.name for each in folder.iterdir()] == [LOCK]:
                path.unlink()
                folder.rmdir()
        lock.release()


def check_place(folder: Path, kind: Kind) -> None:
    """Refuse a folder that holds anything else than such content; hidden files are not in the way.

    Raises
    ------
    AutorecError
        Of the kind, if it does, if it is a file, or if its parent is missing.
    """
    if not folder.parent.is_dir():
        raise kind.error(f"{folder.parent} does not exist; make it, or name another folder.")
    if folder.exists() and not folder.is_dir():
        raise kind.error(f"{folder} is a file; name a folder for the {kind.name}.")
    names = [each.name for each in folder.iterdir()] if folder.exists() else []
    strange = [name for name in names if not name.startswith(".") and not kind.owns(name)]
    if MANIFEST in names:
        try:
            _manifest(folder, kind, MANIFEST)
        except kind.error:
            strange.append("a manifest")
    if strange:
        raise kind.error(
            f"{folder} holds {strange[0]} that is no part of a {kind.name}; name a new folder, or "
            f"one with a {kind.name} to replace."
        )


def write_folder(
    folder: Path, kind: Kind, body: object, files: Mapping[str, Callable[[IO[bytes]], object]]
) -> None:
    """Write a folder's content, in the place of what is there.

    Whoever calls has seen to it that nobody else writes, see `locked`. A save that fails leaves
    what there was.

    Parameters
    ----------
    folder : Path
        Made if it is not there; its parent exists.
    kind : Kind
    body : mapping
        For JSON.
    files : mapping of str to callable
        For each of the kind's files what writes it, see `write_checked`.

    Raises
    ------
    OSError
        If something cannot be written.
    """
    if folder.exists():
        _clean(folder, kind)  # a killed save's files make room
    folder.mkdir(exist_ok=True)
    try:
        named, renames = {}, []
        for name in kind.files:
            temporary = _temporary(folder)
            facts = write_checked(temporary, files[name])
            final = _hashed(name, facts["sha256"][:16])
            named[name] = {"file": final, **facts}
            renames.append((temporary, folder / final))
        head = {"format": f"autorec {kind.name}", "format_version": VERSION}
        manifest = {**head, "body": body, "files": named}
        manifest["sha256"] = _digest(manifest)
        text = json.dumps(manifest, indent=1, allow_nan=False).encode() + b"\n"
        temporary = _temporary(folder)
        write_checked(temporary, lambda file: file.write(text))
        _parse(folder, kind, temporary.name)
        for old, new in renames:
            os.replace(old, new)
        sync_folder(folder)
        os.replace(temporary, folder / MANIFEST)
        sync_folder(folder)
    finally:
        _clean(folder, kind)


@contextmanager
def read_folder(folder: Path, kind: Kind) -> Iterator[tuple[Any, dict[str, IO[bytes]]]]:
    """Open the files of a folder, checked against its manifest and not yet parsed.

    Nothing is written, and no lock needed. What is parsed is what was checked, whatever a writer
    does meanwhile, since the files stay open.

    Yields
    ------
    body
        As it comes from JSON; what it holds is for the caller to check.
    files : dict of str to file
        By the names of the kind's files.

    Raises
    ------
    AutorecError
        Of the kind, if the folder is none, of a newer format, altered, or a file is missing or not
        the one that the manifest names.
    """
    with ExitStack() as stack:
        for attempt in range(10):
            body, named = _parse(folder, kind)
            missing = None
            try:
                files = {
                    name: stack.enter_context(_checked(folder / facts["file"], facts, kind))
                    for name, facts in named.items()
                }
                break
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ESTALE):
                    raise
                # A writer has replaced the manifest, and removed what the old one named; a file
                # server may say so by a stale handle.
                missing = Path(error.filename or folder).name
                stack.close()
                time.sleep(0.005 * attempt)
        if missing is not None:
            raise kind.error(f"{folder} is incomplete: {missing} is missing.")
        if "state.json" in files:  # a checkpoint of the first format
            body = _load_json(files.pop("state.json").read(), folder / "state.json", kind)
        yield body, files


def remove_folder(folder: Path, kind: Kind) -> None:
    """Remove a folder's content so that no half of it is ever taken for one."""
    with suppress(FileNotFoundError):
        (folder / MANIFEST).unlink(missing_ok=True)
        _clean(folder, kind)


def _parse(folder: Path, kind: Kind, name: str = MANIFEST) -> tuple[object, dict[str, Named]]:
    """Return the body of a manifest, and what it says of each file, all of that checked."""
    path, manifest = folder / name, _manifest(folder, kind, name)
    first = "checkpoint" in manifest
    version = manifest.get("checkpoint" if first else "format_version")
    if version not in (1, VERSION):
        raise kind.error(
            f"{folder} is in format {version if isinstance(version, int) else '?'}, and this "
            f"autorec reads formats 1 and {VERSION}; use a release that knows it."
        )
    named: object
    if first:
        sums = manifest.get("sha256")
        sums = sums if isinstance(sums, dict) else {}
        body, named = None, {name: {"file": name, "sha256": sums[name]} for name in sums}
    else:
        if manifest.pop("sha256", None) != _digest(manifest):
            raise kind.error(f"{path} was altered: its checksum is not that of its contents.")
        named = manifest.pop("files", None)
        body = manifest if version == 1 else manifest.get("body")
    wanted = kind.first if first else kind.files
    if not isinstance(named, dict) or set(named) != set(wanted):
        raise kind.error(f"{path} is damaged: it does not name its files, {' and '.join(wanted)}.")
    for each, facts in named.items():
        digest = facts.get("sha256") if isinstance(facts, dict) else None
        if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
            raise kind.error(f"{path} is damaged: it gives no checksum of {each}.")
        if facts.get("file") != (each if first else _hashed(each, digest[:16])):
            raise kind.error(f"{path} names for {each} what is no file of a {kind.name}.")
    return body, named


def _manifest(folder: Path, kind: Kind, name: str) -> dict[str, object]:
    """Return what is in a manifest, which says of itself that it is of the kind."""
    path = folder / name
    try:
        with _opened(path) as file:
            if os.fstat(file.fileno()).st_size > _LARGEST_MANIFEST:
                raise kind.error(f"{path} is too large to be a manifest of autorec.")
            found = _load_json(file.read(), path, kind)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise kind.error(f"{folder} holds no {kind.name}: it has no {MANIFEST}.") from error
    if not isinstance(found, dict) or not (
        found.get("format") == f"autorec {kind.name}" or (kind.first and "checkpoint" in found)
    ):
        raise kind.error(f"{path} does not describe a {kind.name} of autorec.")
    return dict(found)


def _load_json(text: bytes, path: Path, kind: Kind) -> object:
    try:
        return json.loads(text, parse_int=_integer, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise kind.error(f"{path} is damaged: it is no JSON that autorec writes.") from error


def _integer(text: str) -> int:
    # Python takes a second for a hundred thousand digits, a minute for a million.
    if len(text) > 60:
        raise ValueError("a number of too many digits")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number of JSON")
    return number


def _digest(manifest: Mapping[str, object]) -> str:
    try:
        text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    except RecursionError:
        return ""  # a checksum that nothing has
    return hashlib.sha256(text.encode()).hexdigest()


def _hashed(name: str, digest: str) -> str:
    """Return the name of a file that tells its content: weights-0123456789abcdef.params."""
    stem, _, suffix = name.partition(".")
    return f"{stem}-{digest}.{suffix}"


def _temporary(folder: Path) -> Path:
    return folder / f".autorec-{secrets.token_hex(8)}.new"


def _opened(path: Path) -> IO[bytes]:
    """Open a regular file; anything else, a pipe that would never end, counts as missing."""
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no regular file", str(path))
    return path.open("rb")


def _checked(path: Path, facts: Named, kind: Kind) -> IO[bytes]:
    """Open a file that has the size and the checksum that a manifest gives."""
    file = _opened(path)
    try:
        size = os.fstat(file.fileno()).st_size
        if facts.get("size", size) != size or sha256(file) != facts["sha256"]:
            raise kind.error(f"{path} is damaged: its checksum is not the manifest's.")
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _clean(folder: Path, kind: Kind) -> None:
    """Remove what the manifest does not name of what is ours; the folder, where nothing is left."""
    try:
        keep = {MANIFEST, *(facts["file"] for facts in _parse(folder, kind)[1].values())}
    except kind.error:
        # Without a manifest nothing counts; what one names that cannot be read is not known.
        there = (folder / MANIFEST).exists()
        keep = {path.name for path in folder.iterdir() if not _TEMPORARY.fullmatch(path.name)}
        keep = keep if there else set()
    for path in folder.iterdir():
        if kind.owns(path.name) and path.name not in keep:
            path.unlink()
    if not keep:
        with suppress(OSError):
            folder.rmdir()
