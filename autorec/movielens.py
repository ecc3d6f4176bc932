"""MovieLens: where each release comes from, its checksums, how its files are laid out."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import platformdirs

from . import archives
from .errors import ConfigurationError, DataCorruptError, DataUnavailableError
from .ratings import Ratings
from .reading import read_ratings

GROUPLENS = "https://files.grouplens.org/datasets/movielens"
TERMS = (
    "MovieLens is for research use: do not pass it on or use it commercially except as the "
    "README of the release allows, see https://grouplens.org/datasets/movielens/"
)
#: The wheel that carries a copy of ML-100K, for where GroupLens cannot be reached.
WHEEL = "recbole==1.2.1"
WHEEL_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
WHEEL_FOLDER = "recbole/dataset_example/ml-100k"


@dataclass(frozen=True)
class Release:
    """One MovieLens release as GroupLens publishes it.

    Parameters
    ----------
    name : str
        What is asked for, "100k" for example.
    folder : str
        The folder inside the zip; it has the same name in the cache.
    ratings : str
        The ratings file in that folder: user, item, rating, timestamp.
    separator : str
        What stands between the columns of the ratings file.
    header : bool
        Whether the first line of the ratings file names the columns
        (userId, movieId, rating, timestamp).
    max_megabytes : int
        More than the release unpacks to; a larger archive is refused.
    md5 : str or None
        Checksum of the zip, where it is known.
    sha1 : str or None
        Checksum of the ratings file, where it is known.
    """

    name: str
    folder: str
    ratings: str
    separator: str
    header: bool
    max_megabytes: int
    md5: str | None = None
    sha1: str | None = None

    @property
    def url(self) -> str:
        """Address of the zip."""
        return f"{GROUPLENS}/ml-{self.name}.zip"


RELEASES: dict[str, Release] = {
    release.name: release
    for release in (
        Release("100k", "ml-100k", "u.data", "\t", False, 64,
                md5="0e33842e24a9c977be4e0107933c0723",
                sha1="3d12bc07346b98059a31aeed4b66752e83d8d372"),
        Release("1m", "ml-1m", "ratings.dat", "::", False, 128,
                md5="c4d9eecfca2ab87c1945afe126590906"),
        Release("10m", "ml-10M100K", "ratings.dat", "::", False, 1024,
                md5="ce571fd55effeba0271552578f2648bd"),
        Release("20m", "ml-20m", "ratings.csv", ",", True, 4096,
                md5="cd245b17a1ae2cc31bb14903e1204af3"),
        Release("25m", "ml-25m", "ratings.csv", ",", True, 4096,
                md5="6b51fb2759a8657d3bfcbfc42b592ada"),
        Release("32m", "ml-32m", "ratings.csv", ",", True, 4096),
        Release("latest-small", "ml-latest-small", "ratings.csv", ",", True, 64),
    )
}  # fmt: skip

#: The separator of each file of titles, in the order in which they are looked for.
TITLES = {"u.item": "|", "movies.dat": "::", "movies.csv": ",", "ml-100k.item": "\t"}


def find_release(name: str) -> Release:
    """Release of that name, with or without "ml-" in front.

    Raises
    ------
    ConfigurationError
        If there is no such release.
    """
    try:
        return RELEASES[name.lower().removeprefix("ml-")]
    except KeyError:
        raise ConfigurationError(
            f"there is no MovieLens release {name!r}; choose one of {', '.join(RELEASES)}"
        ) from None


def cache_folder() -> Path:
    """Folder that holds a folder for each release: $AUTOREC_DATA, else the user's cache."""
    named = os.environ.get("AUTOREC_DATA") or platformdirs.user_cache_dir("autorec")
    return Path(named).expanduser().absolute()


def fetch(name: str = "100k", source: str | os.PathLike[str] | None = None) -> Path:
    """Folder with the files of a release, its ratings file checked.

    Without a source the cache is looked at, then GroupLens, then, for 100k alone, the copy that
    the wheel of recbole 1.2.1 carries. What is fetched stays in the cache (`cache_folder`).

    Parameters
    ----------
    name : str
        One of `RELEASES`; "ml-" in front of it is accepted.
    source : path, optional
        The user's own copy: the release's folder, a folder that contains it, or a zip. A folder is
        only read; a zip is unpacked into a folder of its own in the cache.

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


def load_movielens(name: str = "100k", source: str | os.PathLike[str] | None = None) -> Ratings:
    """Read the ratings of a release, fetching it first where it is missing.

    Parameters and errors are those of `fetch`.

    Returns
    -------
    Ratings
        With the times of the ratings.
    """
    release = find_release(name)
    path = ratings_file(fetch(name, source), release)
    return read_ratings(path, separator=release.separator, header=release.header)


def read_titles(folder: str | os.PathLike[str]) -> pd.Series[str]:
    """Titles of a release's films, with their year, as in "Toy Story (1995)".

    Parameters
    ----------
    folder : path or str
        A release's folder; or the name of a release as a str, which is then fetched.

    Returns
    -------
    pandas.Series of str
        The title by item id, the index (int64), in the order of the file. Blanks around a title
        are taken off.

    Raises
    ------
    DataUnavailableError
        If the folder has no file of titles.
    DataCorruptError
        If a line of that file has no id or no title.
    """
    is_name = isinstance(folder, str) and folder.lower().removeprefix("ml-") in RELEASES
    place = fetch(str(folder)) if is_name else Path(folder).expanduser()
    path = next((place / file for file in TITLES if (place / file).is_file()), None)
    if path is None:
        raise DataUnavailableError(f"{place} has no file of titles: none of {', '.join(TITLES)}")
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        # 100k and 1m are in Latin-1, whose accented letters are no valid UTF-8.
        text = raw.decode("latin-1")
    lines = io.StringIO(text, newline="")
    separator = TITLES[path.name]
    rows = csv.reader(lines) if separator == "," else (row.split(separator) for row in lines)
    titles: dict[int, str] = {}
    line = 1
    try:
        for row in rows:
            if line > 1 or separator not in (",", "\t"):  # which begin with the columns' names
                title = row[1]
                if separator == "\t":
                    # The film without a title has no year either; what it has is misspelt.
                    title = "unknown" if title == "unkonwn" else f"{title} ({row[2]})"
                titles[int(row[0])] = title.strip()
            line += 1
    except (IndexError, ValueError, csv.Error):
        raise DataCorruptError(f"{path}, line {line}: no item id and title") from None
    index = pd.Index(list(titles), dtype="int64", name="item")
    return pd.Series(list(titles.values()), index=index, dtype=object, name="title")


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
    return folder


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
            print(f"{release.folder}: now in {folder}. {TERMS}", file=sys.stderr)
            return folder
    raise DataUnavailableError(
        f"{release.folder} was found nowhere ({'; '.join(failures)}); {_way_out(release)}"
    )


def _download(
    release: Release, folder: Path, origin: str, download: Callable[[Release, Path], None]
) -> None:
    # What arrives damaged gets a second chance, what cannot be reached does not.
    for last_try in (False, True):
        print(f"{release.folder}: fetching {origin}", file=sys.stderr)
        try:
            with _incoming(release, folder, origin) as incoming:
                download(release, incoming)
            return
        except DataCorruptError as error:
            if last_try:
                raise DataCorruptError(f"{error}; {_way_out(release)}") from None
            print(f"{release.folder}: {error}", file=sys.stderr)


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
    and finds the other files there. So two processes may do this at once.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=folder.parent) as scratch:
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
