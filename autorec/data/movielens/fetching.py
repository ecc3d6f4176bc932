"""Fetching: a release's folder, from the user's copy, the cache, GroupLens or a wheel, checked."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs

from ..._storage.leftovers import held, sweep_folders
from ..._terminal import tell
from ...errors import DataCorruptError, DataUnavailableError
from . import archives
from .releases import Release, find_release

_INCOMING = ".incoming-"

TERMS = (
    "MovieLens is for research use: do not pass it on or use it commercially except as the "
    "README of the release allows, see https://grouplens.org/datasets/movielens/"
)
#: The wheel that carries a copy of ML-100K, for where GroupLens cannot be reached.
WHEEL = "recbole==1.2.1"
WHEEL_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
WHEEL_FOLDER = "recbole/dataset_example/ml-100k"
#: How many zips of a release, of the user's own, the cache has unpacked at a time.
ZIPS_KEPT = 2


def cache_folder() -> Path:
    """Folder that holds a folder for each release: $AUTOREC_DATA, else the user's cache."""
    try:
        named = os.environ.get("AUTOREC_DATA") or platformdirs.user_cache_dir("autorec")
        return Path(named).expanduser().absolute()
    except RuntimeError as error:  # the user has no home at all
        raise DataUnavailableError(
            "There is no home folder to keep data sets in; name a folder in $AUTOREC_DATA."
        ) from error


def fetch(name: str = "100k", source: str | os.PathLike[str] | None = None) -> Path:
    """Folder with the files of a release, its ratings file checked.

    Without a source the cache is looked at, then GroupLens, then, for 100k only, the copy that
    the wheel of recbole 1.2.1 carries. What is fetched stays in the cache (`cache_folder`).

    Parameters
    ----------
    name : str
        One of `RELEASES`; "ml-" in front of it is accepted.
    source : path, optional
        The user's own copy: the release's folder, a folder that contains it, or a zip. A folder is
        only read; a zip is unpacked into a folder of its own in the cache, where those of the two
        zips that were unpacked last stay.

    Returns
    -------
    pathlib.Path
        The folder; `ratings_file` and `read_titles` know what is in it.

    Raises
    ------
    ConfigurationError
        If there is no release of that name.
    DataUnavailableError
        If none of the places has the release; the message names each and what was wrong there.
    DataCorruptError
        If the source, or what was downloaded twice over, is damaged or unsafe to unpack.
    """
    release = find_release(name)
    try:
        if source is not None:
            return _from_source(release, Path(source).expanduser())
        return _from_cache(release, cache_folder() / release.folder)
    except OSError as error:
        raise DataUnavailableError(f"{release.folder}: {error}; {_way_out(release)}") from error


def ratings_file(folder: Path, release: Release) -> Path:
    """Path of the ratings file in a release's folder, after a look at its checksum.

    Raises
    ------
    DataUnavailableError
        If the folder has no such file.
    DataCorruptError
        If its sha1 is not the release's, or not the one noted when it was unpacked.
    """
    path = folder / release.ratings
    if not path.is_file():
        raise DataUnavailableError(f"{folder} has no {release.ratings}")
    note = _note_of(path)
    noted = note.read_text()[:40] if note.is_file() else None
    archives.verify(path, "sha1", release.sha1 or noted, path)
    return path


def _from_source(release: Release, source: Path) -> Path:
    try:
        if source.is_file():
            return _from_zip(release, source)
        for folder in (source / release.folder, source):
            if (folder / release.ratings).is_file():
                ratings_file(folder, release)
                return folder
    except DataCorruptError as error:
        raise DataCorruptError(
            f"{error}; get it anew from {release.url}, or name no source to have it fetched"
        ) from None
    missing = f"has neither {release.ratings} nor {release.folder}/{release.ratings}"
    raise DataUnavailableError(
        f"{source} {missing if source.is_dir() else 'does not exist'}; "
        f"name the folder or the zip of {release.folder}"
    )


def _from_zip(release: Release, archive: Path) -> Path:
    if release.sha1 is None:
        archives.verify(archive, "md5", release.md5, archive)
    # Named after its content, the folder is never taken for another copy of the release.
    folder = cache_folder() / f"{release.folder}-{archives.digest(archive, 'md5')}"
    try:
        ratings_file(folder, release)
    except (DataUnavailableError, DataCorruptError):  # not unpacked yet, or damaged since
        with _incoming(release, folder, archive) as incoming:
            _unpack(release, archive, incoming, archive)
        _drop_older_zips(release, folder)
    return folder


def _drop_older_zips(release: Release, newest: Path) -> None:
    name = re.compile(re.escape(release.folder) + "-[0-9a-f]{32}")
    with held(newest.parent):
        found = [each for each in newest.parent.iterdir() if name.fullmatch(each.name)]
        found.sort(key=lambda each: (each == newest, each.stat().st_mtime), reverse=True)
        for each in found[ZIPS_KEPT:]:
            shutil.rmtree(each, ignore_errors=True)


def _from_cache(release: Release, folder: Path) -> Path:
    failures = []
    try:
        ratings_file(folder, release)
        return folder
    except DataUnavailableError as error:
        failures.append(str(error))
    except DataCorruptError as error:
        failures.append(str(error))
        warnings.warn(f"{error}; fetching it anew", stacklevel=3)

    ways: dict[str, Callable[[Release, Path], None]] = {release.url: _from_grouplens}
    if release.name == "100k":
        ways[f"the copy in the wheel {WHEEL}"] = _from_wheel
    for origin, download in ways.items():
        try:
            _download(release, folder, origin, download)
        except DataUnavailableError as error:
            failures.append(f"{origin}: {error}")
        else:
            tell(f"{release.folder}: now in {folder}. {TERMS}")
            return folder
    raise DataUnavailableError(
        f"{release.folder} was found nowhere ({'; '.join(failures)}); {_way_out(release)}"
    )


def _download(
    release: Release, folder: Path, origin: str, download: Callable[[Release, Path], None]
) -> None:
    # What arrives damaged gets a second chance, what cannot be reached does not.
    for last_try in (False, True):
        tell(f"{release.folder}: fetching {origin}")
        try:
            with _incoming(release, folder, origin) as incoming:
                download(release, incoming)
            return
        except DataCorruptError as error:
            if last_try:
                raise DataCorruptError(f"{error}; {_way_out(release)}") from None
            tell(f"{release.folder}: {error}")


def _from_grouplens(release: Release, folder: Path) -> None:
    archive = folder.with_suffix(".zip")
    archives.download(release.url, archive)
    archives.verify(archive, "md5", release.md5, release.url)
    _unpack(release, archive, folder, release.url)


def _from_wheel(release: Release, folder: Path) -> None:
    wheel = archives.download_wheel(WHEEL, folder.parent)
    archives.verify(wheel, "sha256", WHEEL_SHA256, wheel.name)
    with zipfile.ZipFile(wheel) as content:
        # Without the line that names its columns, this is u.data byte for byte.
        ratings = content.read(f"{WHEEL_FOLDER}/ml-100k.inter").partition(b"\n")[2]
        titles = content.read(f"{WHEEL_FOLDER}/ml-100k.item")
    (folder / release.ratings).write_bytes(ratings)
    (folder / "ml-100k.item").write_bytes(titles)


def _unpack(release: Release, archive: Path, folder: Path, origin: Path | str) -> None:
    archives.unpack(
        archive,
        folder,
        beside=release.ratings,
        home=release.folder,
        max_megabytes=release.max_megabytes,
        md5=release.md5,
        origin=origin,
    )


@contextlib.contextmanager
def _incoming(release: Release, folder: Path, origin: Path | str) -> Iterator[Path]:
    """Empty folder under a temporary name, whose files go to `folder` once they are checked.

    Each file is replaced in one step, and the ratings come last: whoever sees them sees them whole
    and finds the other files there. So two processes may do this at once. What processes that
    were killed have left is removed before.
    """
    cache = folder.parent
    cache.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        with held(cache):  # so that nobody sweeps between the next two lines
            sweep_folders(cache, _INCOMING)
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix=_INCOMING, dir=cache))
            stack.enter_context(held(Path(scratch)))
        incoming = Path(scratch) / folder.name
        incoming.mkdir()
        yield incoming
        ratings = incoming / release.ratings
        archives.verify(ratings, "sha1", release.sha1, f"{release.ratings} from {origin}")
        if release.sha1 is None:
            _note_of(ratings).write_text(f"{archives.digest(ratings, 'sha1')}  {ratings.name}\n")
        folder.mkdir(exist_ok=True)
        for file in sorted(incoming.iterdir(), key=lambda file: file.name == release.ratings):
            os.replace(file, folder / file.name)


def _note_of(ratings: Path) -> Path:
    # What sha1 the ratings had when they were unpacked, where none is known; as of sha1sum.
    return ratings.with_name(f"{ratings.name}.sha1")


def _way_out(release: Release) -> str:
    return (
        "name a folder or zip that has it with --data (in Python source=), or point $AUTOREC_DATA "
        f"at a folder that holds {release.folder}/ or can be written (now {cache_folder()})"
    )
