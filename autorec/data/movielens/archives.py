"""Archives: files from elsewhere, downloaded, checked by checksum and unpacked safely."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from importlib.machinery import PathFinder
from pathlib import Path, PurePosixPath

from ...errors import AutorecError, DataCorruptError, DataUnavailableError

#: Seconds without a byte after which a server counts as unreachable.
TIMEOUT = 15.0
#: Seconds that pip may take for a wheel in all.
WHEEL_TIMEOUT = 300.0
#: Names of zip members that are no plain path below the target: absolute, "..", of Windows.
OUTSIDE = re.compile(r"^/|(^|/)\.\.(/|$)|[\\:\0]")


def download(url: str, path: Path) -> None:
    """Download a file, with a progress bar on a terminal.

    A body that is cut short is no error here: `verify` tells more.

    Raises
    ------
    DataUnavailableError
        If the server cannot be reached or has no such file.
    """
    # Imported here, as most runs find the data in the cache and need neither.
    from pooch import HTTPDownloader
    from requests.exceptions import ChunkedEncodingError, RequestException

    fetch = HTTPDownloader(progressbar=_on_terminal(), chunk_size=1 << 16, timeout=TIMEOUT)
    try:
        with contextlib.suppress(ChunkedEncodingError):
            fetch(url, str(path), None)
    except RequestException as error:
        raise DataUnavailableError(_reason(error)) from error


def download_wheel(requirement: str, folder: Path) -> Path:
    """Download one package's wheel with pip, as the user has set it up; return its path.

    Raises
    ------
    DataUnavailableError
        If there is no pip, or it does not get the wheel.
    """
    # Not by importlib.util, where setuptools listens for pip, and warns.
    if PathFinder.find_spec("pip") is None:
        raise DataUnavailableError(f"{sys.executable} has no pip (-m ensurepip installs it)")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--retries=1", f"--timeout={TIMEOUT}"]
    command += [f"--dest={folder}", requirement]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr if _on_terminal() else subprocess.DEVNULL,  # pip's progress bar
            stderr=subprocess.PIPE,
            text=True,
            timeout=WHEEL_TIMEOUT,
            env={**os.environ, "TMPDIR": str(folder)},  # goes when the folder does
        )
    except subprocess.TimeoutExpired:
        raise DataUnavailableError(f"pip took more than {WHEEL_TIMEOUT:.0f} s") from None
    wheel = next(folder.glob("*.whl"), None)
    if done.returncode or wheel is None:
        reason = done.stderr.strip().rpartition("\n")[2]
        raise DataUnavailableError(f"pip could not fetch it: {reason}")
    return wheel


def digest(path: Path, algorithm: str) -> str:
    """Return a file's checksum, in hexadecimal."""
    checksum = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            checksum.update(block)
    return checksum.hexdigest()


def verify(path: Path, algorithm: str, expected: str | None, origin: Path | str) -> None:
    """Compare a file's checksum with the expected one, if there is one.

    Raises
    ------
    DataCorruptError
        If they differ; the message has both, and says where the file is from.
    """
    if expected is None:
        return
    found = digest(path, algorithm)
    if found != expected:
        raise DataCorruptError(
            f"{origin} is truncated or altered: its {algorithm} is {found}, not {expected}"
        )


def unpack(
    archive: Path,
    folder: Path,
    *,
    beside: str,
    home: str,
    max_megabytes: int,
    md5: str | None,
    origin: Path | str,
) -> None:
    """Unpack the files that lie beside a given one in a zip, if all in it is safe.

    Parameters
    ----------
    archive, folder : Path
        The zip, and the empty folder for its files.
    beside : str
        Name of a file that must be there.
    home : str
        The folder in the zip that is taken where several have such a file.
    max_megabytes : int
        What it may unpack to at most.
    md5 : str or None
        The zip's checksum, for the message if it cannot be unpacked.
    origin : Path or str
        Where the zip is from, for messages.

    Raises
    ------
    DataUnavailableError
        If the file is not there.
    DataCorruptError
        If the zip is damaged or too large, or has a member that would land outside the folder.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            for member in content.infolist():
                link = stat.S_ISLNK(member.external_attr >> 16)
                if link or OUTSIDE.search(member.orig_filename):
                    raise DataCorruptError(
                        f"{origin} is refused: its member {member.orig_filename!r} "
                        "would land outside the target"
                    )
            members = [member for member in content.infolist() if not member.is_dir()]
            paths = {PurePosixPath(member.filename): member for member in members}
            homes = [path.parent for path in paths if path.name == beside]
            if not homes:
                raise DataUnavailableError(f"{origin} has no {beside} in it")
            chosen = max(homes, key=lambda path: path.name == home)
            wanted = {path.name: paths[path] for path in paths if path.parent == chosen}
            megabytes = sum(member.file_size for member in wanted.values()) / 1e6
            if megabytes > max_megabytes:
                raise DataCorruptError(
                    f"{origin} is refused: it would unpack to {megabytes:,.0f} MB, more than the "
                    f"{max_megabytes:,} MB allowed for {home}"
                )
            for name, member in wanted.items():
                with content.open(member) as packed, (folder / name).open("wb") as plain:
                    shutil.copyfileobj(packed, plain)
    except AutorecError:
        raise
    except Exception as error:
        # Each decompressor has errors of its own for damage, some an OSError, but without the
        # number of one that comes from the disk.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        verify(archive, "md5", md5, origin)
        reason = str(error) or type(error).__name__
        raise DataCorruptError(f"{origin} cannot be unpacked: {reason}") from error


def _reason(error: Exception) -> str:
    # Requests wraps the reason in up to two errors, which repeat the address at length.
    reason = error.args[0] if error.args else error
    text = str(getattr(reason, "reason", reason))
    if "timed out" in text:
        return f"no answer within {TIMEOUT:g} s"
    return re.sub(r"^.*?[)>]: ", "", text)


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()
