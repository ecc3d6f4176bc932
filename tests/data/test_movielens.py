"""MovieLens: finding, fetching, checking and unpacking releases, from a server on this machine."""

from __future__ import annotations

import importlib.util
import io
import os
import random
import re
import socket
import stat
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import times
from support.movielens import (
    CSV,
    FILES,
    ITEM,
    TAB,
    TITLES,
    Server,
    altered,
    checksum,
    contents,
    release_zip,
    truncated,
    write_release,
    zipped,
)

from autorec._storage import leftovers
from autorec.data.movielens import archives, fetching, releases
from autorec.data.movielens import tables as movielens
from autorec.data.movielens.tables import (
    RELEASES,
    fetch,
    find_release,
    load_movielens,
    ratings_file,
    read_titles,
)
from autorec.errors import ConfigurationError, DataCorruptError, DataUnavailableError

# Made-up ratings and titles, laid out as in each release.


def test_real_100k() -> None:
    try:
        folder = fetch("100k")
    except DataUnavailableError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    data = ratings_file(folder, RELEASES["100k"]).read_bytes()
    assert checksum("sha1", data) == "3d12bc07346b98059a31aeed4b66752e83d8d372"
    assert data.count(b"\n") == 100_000


@pytest.mark.parametrize("name", ["100k", "ml-100k", "ML-100K"])
def test_a_release_goes_by_its_name_with_or_without_ml(name: str) -> None:
    assert find_release(name) is RELEASES["100k"]


def test_an_unknown_release_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"no MovieLens release '2m'.*100k, 1m, 10m"):
        fetch("2m")


def test_the_cache_is_the_users_own_where_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOREC_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert movielens.cache_folder() == Path("/somewhere/autorec")


# The user's own copy


@pytest.mark.parametrize("name", RELEASES)
@pytest.mark.parametrize("inside", [True, False])
def test_a_folder_is_used_where_it_is(cache: Path, tmp_path: Path, name: str, inside: bool) -> None:
    folder = write_release(name, tmp_path / "mine" / RELEASES[name].folder)
    before = contents(tmp_path)
    assert fetch(name, source=folder.parent if inside else folder) == folder
    assert contents(tmp_path) == before
    assert not cache.exists()


@pytest.mark.parametrize("name", RELEASES)
def test_a_zip_is_unpacked_into_the_cache(cache: Path, tmp_path: Path, name: str) -> None:
    archive = tmp_path / "mine.zip"
    archive.write_bytes(release_zip(name))
    folder = fetch(name, source=str(archive))
    assert folder.parent == cache
    assert FILES[name].items() <= contents(folder).items()
    assert fetch(name, source=archive) == folder
    (folder / RELEASES[name].ratings).write_bytes(b"damaged")
    assert fetch(name, source=archive) == folder
    assert FILES[name].items() <= contents(folder).items()


def test_each_zip_has_a_folder_of_its_own(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "old.zip").write_bytes(release_zip("latest-small", {"README.txt": b"old"}))
    (tmp_path / "new.zip").write_bytes(release_zip("latest-small", {"README.txt": b"new"}))
    old, new = (fetch("latest-small", tmp_path / file) for file in ("old.zip", "new.zip"))
    assert (old / "README.txt").read_bytes() == b"old"
    assert (new / "README.txt").read_bytes() == b"new"


def test_the_two_zips_that_were_unpacked_last_stay(cache: Path, tmp_path: Path) -> None:
    write_release("latest-small", cache / "ml-latest-small")
    (cache / "ml-latest-small-mine").mkdir()
    archive, folders = tmp_path / "mine.zip", []
    for number in range(4):
        archive.write_bytes(release_zip("latest-small", {"README.txt": b"%d" % number}))
        folders.append(fetch("latest-small", archive))
        os.utime(folders[-1], (number, number))  # one after the other, however coarse the clock
    assert {path.name for path in cache.iterdir()} == {
        "ml-latest-small", "ml-latest-small-mine", folders[2].name, folders[3].name,
    }  # fmt: skip
    assert fetch("latest-small", archive) == folders[3]


def test_a_zip_may_hold_the_files_at_its_top_or_several_releases(
    cache: Path, tmp_path: Path
) -> None:
    other = {"ml-25m/ratings.csv": b"other", "ml-32m/ratings.csv": CSV.encode(), "notes": b""}
    (tmp_path / "several.zip").write_bytes(zipped(other))
    assert contents(fetch("32m", tmp_path / "several.zip"))["ratings.csv"] == CSV.encode()
    (tmp_path / "top.zip").write_bytes(zipped(FILES["100k"]))
    assert contents(fetch("100k", tmp_path / "top.zip")) == FILES["100k"]


def test_a_source_without_the_release_is_named(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(DataUnavailableError, match="nowhere does not exist; name the folder"):
        fetch("100k", tmp_path / "nowhere")
    with pytest.raises(DataUnavailableError, match=r"neither u\.data nor ml-100k/u\.data"):
        fetch("100k", tmp_path)
    (tmp_path / "other.zip").write_bytes(release_zip("1m"))
    with pytest.raises(DataUnavailableError, match=r"other\.zip has no u\.data"):
        fetch("100k", tmp_path / "other.zip")


@pytest.mark.parametrize("kept", [slice(-1), slice(0)])
def test_a_damaged_folder_is_refused_with_both_checksums(
    cache: Path, tmp_path: Path, kept: slice
) -> None:
    folder = write_release("100k", tmp_path / "mine")
    (folder / "u.data").write_bytes(TAB.encode()[kept])
    expected, found = RELEASES["100k"].sha1, checksum("sha1", TAB.encode()[kept])
    with pytest.raises(DataCorruptError, match=rf"its sha1 is {found}, not {expected}; get it"):
        fetch("100k", folder)
    assert (folder / "u.data").read_bytes() == TAB.encode()[kept]


@pytest.mark.parametrize(
    ("name", "damaged"),
    [
        ("100k", truncated(release_zip("100k"))),
        ("1m", truncated(release_zip("1m"))),
        ("1m", release_zip("1m", {"ratings.dat": b"1::10::5::880000001\n"})),
    ],
    ids=["100k truncated", "1m truncated", "1m another"],
)
def test_a_damaged_zip_is_refused_with_both_checksums(
    cache: Path, tmp_path: Path, name: str, damaged: bytes
) -> None:
    archive = tmp_path / "mine.zip"
    archive.write_bytes(damaged)
    expected, found = RELEASES[name].md5, checksum("md5", damaged)
    with pytest.raises(DataCorruptError, match=f"its md5 is {found}, not {expected}; get it"):
        fetch(name, archive)
    assert not cache.exists() or contents(cache) == {}


def test_a_zip_with_altered_ratings_is_refused_with_both_checksums(
    cache: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "mine.zip"
    archive.write_bytes(release_zip("100k", {"u.data": b"1\t10\t5\t880000001\n"}))
    expected, found = RELEASES["100k"].sha1, checksum("sha1", b"1\t10\t5\t880000001\n")
    with pytest.raises(DataCorruptError, match=f"its sha1 is {found}, not {expected}"):
        fetch("100k", archive)
    assert contents(cache) == {}


@pytest.mark.parametrize(
    "broken",
    [
        truncated(release_zip("32m")),
        altered(release_zip("32m")),
        release_zip("32m", {"é": b""}).replace("é".encode(), b"\xff\xff"),
    ],
    ids=["truncated", "altered", "misnamed"],
)
def test_a_broken_zip_without_a_known_checksum_is_refused(
    cache: Path, tmp_path: Path, broken: bytes
) -> None:
    (tmp_path / "mine.zip").write_bytes(broken)
    with pytest.raises(DataCorruptError, match=r"mine\.zip cannot be unpacked: "):
        fetch("32m", tmp_path / "mine.zip")


COMPRESSIONS = {
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}


@times(40, 1_000)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_damaged_zip_is_refused_or_read_whatever_its_compression(
    cache: Path,
    tmp_path: Path,
    compression: str,
    times: int,
    soaked: Callable[[str, int], None],
) -> None:
    draw = random.Random(compression)
    rows = "".join(f"{draw.randrange(99)},{n},3.5,{n}\r\n" for n in range(200))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", COMPRESSIONS[compression]) as content:
        for name in ("ratings.csv", "movies.csv"):
            content.writestr(zipfile.ZipInfo(f"ml-32m/{name}"), rows, COMPRESSIONS[compression])
    whole, refused = packed.getvalue(), []
    for number in range(times):
        damaged = bytearray(whole)
        for _ in range(draw.choice([1, 1, 8])):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        if number % 10 == 9:
            del damaged[draw.randrange(len(damaged)) :]
        (tmp_path / "mine.zip").write_bytes(damaged)
        (tmp_path / "to").mkdir(exist_ok=True)
        named: dict[str, Any] = {"beside": "ratings.csv", "home": "ml-32m", "md5": None}
        named.update(max_megabytes=1, origin="mine.zip")
        try:
            archives.unpack(tmp_path / "mine.zip", tmp_path / "to", **named)
            assert (tmp_path / "to" / "ratings.csv").read_bytes() == rows.encode()
        except (DataCorruptError, DataUnavailableError) as error:
            refused.append(str(error))
    assert len(refused) > times / 4
    for said in refused:
        assert re.match(r"mine\.zip .+[^ :]$", said), said
    soaked("damaged zips", times)


@pytest.mark.parametrize("compression", ["deflated", "bzip2", "lzma"])
def test_a_damaged_member_is_no_raw_error_of_its_decompressor(
    cache: Path, tmp_path: Path, compression: str
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", COMPRESSIONS[compression]) as content:
        content.writestr("ml-32m/ratings.csv", CSV * 100)
    damaged = bytearray(packed.getvalue())
    start = 30 + len("ml-32m/ratings.csv")
    damaged[start + 9 : start + 30] = b"\xff" * 21
    (tmp_path / "mine.zip").write_bytes(damaged)
    with pytest.raises(DataCorruptError, match=r"mine\.zip cannot be unpacked: "):
        fetch("32m", tmp_path / "mine.zip")


def test_a_full_disk_is_not_taken_for_a_damaged_zip(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*files: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "mine.zip").write_bytes(release_zip("100k"))
    monkeypatch.setattr(archives.shutil, "copyfileobj", full)
    with pytest.raises(DataUnavailableError, match=r"No space left on device; name a folder"):
        fetch("100k", tmp_path / "mine.zip")


@pytest.mark.parametrize(
    "member",
    ["/outside", "../outside", "ml-100k/../../outside", "..\\outside", "C:\\outside", "C:outside"],
)
def test_a_zip_that_would_write_elsewhere_is_refused(
    cache: Path, tmp_path: Path, member: str
) -> None:
    archive = tmp_path / "mine.zip"
    files = {f"ml-100k/{file}": data for file, data in FILES["100k"].items()}
    archive.write_bytes(zipped({**files, member: b"evil"}))
    with pytest.raises(DataCorruptError, match="would land outside the target"):
        fetch("100k", archive)
    assert contents(cache) == {}


def test_a_zip_with_a_link_is_refused(cache: Path, tmp_path: Path) -> None:
    archive = tmp_path / "mine.zip"
    archive.write_bytes(release_zip("100k"))
    link = zipfile.ZipInfo("ml-100k/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as content:
        content.writestr(link, "/etc")
    with pytest.raises(DataCorruptError, match="'ml-100k/link' would land outside the target"):
        fetch("100k", archive)


def test_a_zip_that_unpacks_to_too_much_is_refused(cache: Path, tmp_path: Path) -> None:
    archive = tmp_path / "mine.zip"
    archive.write_bytes(release_zip("100k", {"zeros": bytes(65_000_000)}))
    with pytest.raises(DataCorruptError, match="unpack to 65 MB, more than the 64 MB allowed"):
        fetch("100k", archive)
    assert contents(cache) == {}


# The cache


def test_the_cache_is_used_without_a_download(cache: Path, server: Server) -> None:
    folder = write_release("100k", cache / "ml-100k")
    before = contents(cache)
    assert fetch("100k") == folder
    assert contents(cache) == before
    assert server.asked == []


@pytest.mark.parametrize("name", ["100k", "32m"])
def test_a_damaged_cache_is_fetched_anew(cache: Path, server: Server, name: str) -> None:
    server.answers = [release_zip(name)]
    ratings = ratings_file(fetch(name), RELEASES[name])
    ratings.write_bytes(ratings.read_bytes()[:-1])
    (ratings.parent / "notes").write_bytes(b"the user's own")
    with pytest.warns(UserWarning, match=r"truncated or altered.*fetching it anew"):
        assert fetch(name) == ratings.parent
    assert ratings.read_bytes() == FILES[name][ratings.name]
    assert (ratings.parent / "notes").read_bytes() == b"the user's own"


def test_what_an_interrupted_run_left_is_not_taken_for_data(cache: Path, server: Server) -> None:
    write_release("100k", cache / ".incoming-abc" / "ml-100k")
    (cache / "ml-100k").mkdir()
    (cache / "ml-100k" / "u.item").write_bytes(b"half of the ti")
    server.answers = [release_zip("100k")]
    assert contents(fetch("100k")) == FILES["100k"]


def test_an_interrupted_run_leaves_nothing(
    cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(packed: io.BufferedIOBase, plain: io.BufferedIOBase) -> None:
        plain.write(packed.read(5))
        raise KeyboardInterrupt

    monkeypatch.setattr(archives.shutil, "copyfileobj", interrupt)
    server.answers = [release_zip("100k")]
    with pytest.raises(KeyboardInterrupt):
        fetch("100k")
    assert list(cache.iterdir()) == []


def test_the_ratings_come_last_so_that_they_vouch_for_the_rest(
    cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, moved = os.replace, []

    def interrupt(old: Path, new: Path) -> None:
        if moved:
            raise KeyboardInterrupt
        moved.append(new.name)
        replace(old, new)

    server.answers = [release_zip("100k")]
    monkeypatch.setattr(fetching.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch("100k")
    monkeypatch.setattr(fetching.os, "replace", replace)
    assert contents(cache) == {"ml-100k/u.item": FILES["100k"]["u.item"]}
    assert contents(fetch("100k")) == FILES["100k"]


def test_a_cache_that_cannot_be_written_is_named(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("AUTOREC_DATA", str(tmp_path / "file"))
    with pytest.raises(DataUnavailableError, match=r"file'; .* point \$AUTOREC_DATA at a folder"):
        fetch("100k")


# The download


@pytest.mark.parametrize("name", RELEASES)
def test_a_release_is_downloaded(
    cache: Path, server: Server, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers = [release_zip(name)]
    folder = fetch(name)
    assert folder == cache / RELEASES[name].folder
    assert FILES[name].items() <= contents(folder).items()
    assert os.listdir(cache) == [folder.name]
    assert server.asked == [f"/ml-{name}.zip"]
    out, err = capsys.readouterr()
    assert (out, err.count("MovieLens is for research use"), err.count("%")) == ("", 1, 0)


def test_a_terminal_shows_a_progress_bar(
    cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    server.answers = [release_zip("1m")]
    fetch("1m")
    assert "100%" in terminal.getvalue()


@pytest.mark.parametrize("damage", [altered, truncated])
def test_a_damaged_download_is_tried_once_more(
    cache: Path, server: Server, damage: Callable[[bytes], bytes]
) -> None:
    good = release_zip("100k")
    server.answers = [damage(good), good]
    assert contents(fetch("100k")) == FILES["100k"]
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "damaged",
    [
        altered(release_zip("100k")),
        truncated(release_zip("100k")),
        release_zip("100k", {"u.item": b"10|Another Title (1995)|\n"}),
    ],
    ids=["altered", "truncated", "another"],
)
def test_a_download_that_is_damaged_twice_is_refused_with_both_checksums(
    cache: Path, server: Server, damaged: bytes
) -> None:
    server.answers = [damaged]
    expected, found = RELEASES["100k"].md5, checksum("md5", damaged)
    with pytest.raises(DataCorruptError, match=f"its md5 is {found}, not {expected}; name a"):
        fetch("100k")
    assert len(server.asked) == 2
    assert contents(cache) == {}


def test_a_download_whose_connection_breaks_is_refused_with_both_checksums(
    cache: Path, server: Server
) -> None:
    server.answers, server.missing = [release_zip("100k")[:-9]], 9
    with pytest.raises(DataCorruptError, match=rf"its md5 is \w{{32}}, not {RELEASES['100k'].md5}"):
        fetch("100k")
    assert len(server.asked) == 2
    assert contents(cache) == {}


def test_a_broken_download_without_a_known_checksum_is_refused(cache: Path, server: Server) -> None:
    server.answers = [b"<html>Please log in</html>"]
    with pytest.raises(DataCorruptError, match=r"ml-32m\.zip cannot be unpacked"):
        fetch("32m")


def test_an_unsafe_download_is_refused(cache: Path, server: Server) -> None:
    server.answers = [release_zip("32m", {"../../outside": b"evil"})]
    with pytest.raises(DataCorruptError, match="would land outside the target"):
        fetch("32m")
    assert contents(cache) == {}


def test_a_missing_zip_is_reported(cache: Path, server: Server) -> None:
    server.answers, server.status = [b"not here"], 404
    with pytest.raises(DataUnavailableError, match=r"/ml-1m\.zip: 404 .*; name a folder or zip"):
        fetch("1m")
    assert len(server.asked) == 1


def test_a_refused_connection_is_reported(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as deaf:  # bound, so that nobody else listens there
        deaf.bind(("127.0.0.1", 0))
        monkeypatch.setattr(releases, "GROUPLENS", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        with pytest.raises(DataUnavailableError, match=r"ml-1m has no ratings\.dat.*refused"):
            fetch("1m")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_server_that_stalls_is_given_up(
    cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    monkeypatch.setattr(archives, "TIMEOUT", 0.3)
    server.answers, server.missing = [release_zip("1m")], 9
    getattr(server, moment).clear()
    with pytest.raises(DataUnavailableError, match=r"ml-1m\.zip: no answer within 0\.3 s"):
        fetch("1m")


def test_where_a_file_system_has_no_locks_nothing_is_swept(
    cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*arguments: object) -> None:
        raise OSError(9, "Bad file descriptor")  # what NFS says

    (cache / ".incoming-abcd1234").mkdir(parents=True)
    monkeypatch.setattr(leftovers.fcntl, "flock", unknown)
    server.answers = [release_zip("1m")]
    fetch("1m")
    assert sorted(os.listdir(cache)) == [".incoming-abcd1234", "ml-1m"]
    monkeypatch.undo()


# The copy in a wheel


@pytest.fixture
def wheel(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if importlib.util.find_spec("pip") is None:
        pytest.skip("pip is not installed")
    wheel = tmp_path / "recbole-1.2.1-py3-none-any.whl"
    inter = b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + TAB.encode()
    metadata = b"Metadata-Version: 2.1\nName: recbole\nVersion: 1.2.1\nRequires-Dist: torch\n"
    wheel.write_bytes(
        zipped(
            {
                f"{fetching.WHEEL_FOLDER}/ml-100k.inter": inter,
                f"{fetching.WHEEL_FOLDER}/ml-100k.item": ITEM.encode(),
                "recbole-1.2.1.dist-info/METADATA": metadata,
                "recbole-1.2.1.dist-info/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n",
            }
        )
    )
    monkeypatch.setattr(fetching, "WHEEL_SHA256", checksum("sha256", wheel.read_bytes()))
    return wheel


def test_100k_comes_from_the_wheel_where_grouplens_cannot_be_reached(
    cache: Path, wheel: Path
) -> None:
    folder = fetch("100k")
    assert contents(cache) == {
        "ml-100k/ml-100k.item": ITEM.encode(),
        "ml-100k/u.data": FILES["100k"]["u.data"],
    }
    assert read_titles(folder).to_dict() == {
        **TITLES,
        40: "Other: Two (1997) (V)",
        267: "unknown",
    }


def test_an_altered_wheel_is_refused_with_both_checksums(cache: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel, "a") as content:
        content.writestr("recbole/more.py", b"")
    found = checksum("sha256", wheel.read_bytes())
    with pytest.raises(DataCorruptError, match=f"is {found}, not {fetching.WHEEL_SHA256}; name"):
        fetch("100k")


def test_each_place_is_named_where_the_release_is_nowhere(cache: Path, wheel: Path) -> None:
    wheel.unlink()
    with pytest.raises(DataUnavailableError) as caught:
        fetch("100k")
    for part in (
        f"{cache}/ml-100k has no u.data",
        "http://127.0.0.1:1/ml-100k.zip: ",
        "the wheel recbole==1.2.1: pip could not fetch it: ERROR: No matching distribution",
        "--data (in Python source=)",
        f"(now {cache})",
    ):
        assert part in str(caught.value)


def test_a_missing_pip_is_reported(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives.PathFinder, "find_spec", lambda name: None)
    with pytest.raises(DataUnavailableError, match="has no pip"):
        fetch("100k")


# Ratings and titles


@pytest.mark.parametrize("name", RELEASES)
def test_titles_by_item_id(tmp_path: Path, name: str) -> None:
    titles = read_titles(write_release(name, tmp_path / "here"))
    assert titles.to_dict() == TITLES
    assert (titles.index.name, titles.index.dtype, titles.name) == ("item", "int64", "title")


@pytest.mark.parametrize("name", RELEASES)
def test_ratings_of_a_release(cache: Path, tmp_path: Path, name: str) -> None:
    ratings = load_movielens(name, write_release(name, tmp_path / "here"))
    halves = RELEASES[name].header
    assert ratings.values.tolist() == ([4.5, 0.5] if halves else [4, 1, 5])
    assert ratings.item_ids[ratings.items].tolist() == ([10, 30] if halves else [10, 10, 30])
    assert ratings.times is not None
    assert ratings.times.tolist() == [880000001, 880000002, 880000003][:: 2 if halves else 1]


def test_titles_of_a_release_by_its_name(cache: Path) -> None:
    write_release("100k", cache / "ml-100k")
    assert read_titles("ml-100k").to_dict() == TITLES


def test_a_folder_without_titles_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailableError, match=r"no file of titles: none of u\.item, movies"):
        read_titles(tmp_path)


@pytest.mark.parametrize("line", ["10", "ten|Ten (1910)", ""])
def test_a_line_without_id_or_title_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "u.item").write_text(f"9|Nine (1909)\n{line}\n11|Eleven (1911)\n")
    with pytest.raises(DataCorruptError, match=r"u\.item, line 2: no item id and title"):
        read_titles(tmp_path)


def test_an_open_quote_among_the_titles_is_named(tmp_path: Path) -> None:
    (tmp_path / "movies.csv").write_text('movieId,title,genres\n1,"' + "one, " * 40_000)
    with pytest.raises(DataCorruptError, match=r"movies\.csv, line 2: no item id and title"):
        read_titles(tmp_path)
