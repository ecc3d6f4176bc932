"""Made-up releases of MovieLens, and a server that gives them."""

from __future__ import annotations

import hashlib
import http.server
import io
import threading
import zipfile
from pathlib import Path

from autorec.data.movielens.tables import (
    RELEASES,
)

TAB = "1\t10\t4\t880000001\n2\t10\t1\t880000002\n2\t30\t5\t880000003\n"

COLONS = TAB.replace("\t", "::")

CSV = "userId,movieId,rating,timestamp\r\n1,10,4.5,880000001\r\n2,30,0.5,880000003\r\n"

PIPES = "10|Café, Le (1995)|01-Jan-1995||http://x|0|1\n30|Other: One (1996) |x||y|1|0\n"

COLON_TITLES = "10::Café, Le (1995)::Drama\n30::Other: One (1996)::Comedy|War\n"

CSV_TITLES = 'movieId,title,genres\r\n10,"Café, Le (1995)",Drama\r\n30,Other: One (1996),War\r\n'

ITEM = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "10\tCafé, Le\t1995\tDrama\n30\tOther: One\t1996\tWar\n"
    "40\tOther: Two (1997)\tV\tWar\n267\tunkonwn\tunkonwn\tunkonwn\n"
)

FILES = {
    "100k": {"u.data": TAB.encode(), "u.item": PIPES.encode("latin-1")},
    "1m": {"ratings.dat": COLONS.encode(), "movies.dat": COLON_TITLES.encode("latin-1")},
    "10m": {"ratings.dat": COLONS.encode(), "movies.dat": COLON_TITLES.encode()},
    **{
        name: {"ratings.csv": CSV.encode(), "movies.csv": CSV_TITLES.encode()}
        for name in ("20m", "25m", "32m", "latest-small")
    },
}

TITLES = {10: "Café, Le (1995)", 30: "Other: One (1996)"}


def zipped(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            # A ZipInfo without a time keeps the checksum the same from run to run.
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def release_zip(name: str, more: dict[str, bytes] | None = None) -> bytes:
    folder = RELEASES[name].folder
    return zipped(
        {f"{folder}/{file}": data for file, data in {**FILES[name], **(more or {})}.items()}
    )


def altered(archive: bytes) -> bytes:
    return archive[:50] + bytes([archive[50] ^ 1]) + archive[51:]


def truncated(archive: bytes) -> bytes:
    return archive[:-9]


def checksum(algorithm: str, data: bytes) -> str:
    return hashlib.new(algorithm, data).hexdigest()


def write_release(name: str, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for file, data in FILES[name].items():
        (folder / file).write_bytes(data)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class Server(http.server.ThreadingHTTPServer):
    """Gives the bodies of `answers` in turn, the last one for ever after."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[bytes] = []
        self.status = 200
        self.missing = 0  # bytes that are announced and never sent
        self.asked: list[str] = []
        self.before = threading.Event()  # what an answer waits for
        self.after = threading.Event()  # what its end waits for
        self.together = threading.Barrier(1)  # how many must ask before any is answered
        self.before.set()
        self.after.set()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that has given up."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.together.wait(120)
        self.server.before.wait(10)
        answers = self.server.answers
        body = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body) + self.server.missing))
        self.end_headers()
        self.wfile.write(body)
        self.server.after.wait(60)

    def log_message(self, format: str, *args: object) -> None:
        pass
