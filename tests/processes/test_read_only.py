"""Installations that nothing can be written to, for users without a home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT
from support.training import films

# In a view of the file system of its own, only one folder can be written to. A mount below
# another is hidden where that one is mounted again, so that folder comes last.
READ_ONLY = """
set -e
for place in /tmp /var/tmp "$1"; do mount --bind "$place" "$place"; done
mount -t tmpfs tmpfs "$2"
fonts=/var/cache/fontconfig  # as on a machine where nobody has looked for fonts yet
if [ -d $fonts ]; then mount -t tmpfs -o ro tmpfs $fonts; fi
for place in /tmp /var/tmp "$1" /; do mount -o remount,bind,ro "$place"; done
! touch "$1/written" /tmp/written /var/tmp/written 2>/dev/null
cd "$1"
unset HOME TMPDIR MPLCONFIGDIR NUMBA_CACHE_DIR XDG_CACHE_HOME XDG_CONFIG_HOME
shift 2
exec "$@"
"""

COMMANDS = """
set -e
autorec() { "$python" -m autorec "$@"; }
autorec train --ratings "$ratings" --compute sparse --hidden 2 --epochs 1 --output "$out/run"
ls -A "$out/run"
autorec recommend "$out/run/model" --user 3 -k 2 --format csv
autorec predict "$out/run/model" --pairs "$ratings" --format csv | tail -1
"""


def test_what_cannot_be_written_to_trains_recommends_and_predicts(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    if subprocess.run(["unshare", "--map-root-user", "--mount", "true"], check=False).returncode:
        pytest.skip("this machine lets nobody have a view of the file system of his own")
    ratings, out = tmp_path / "ratings.csv", tmp_path / "out"
    films("numbers").to_csv(ratings, index=False)
    out.mkdir()
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "bash", "-c", READ_ONLY, "bash", ROOT, out,
         "bash", "-c", COMMANDS],
        env={**os.environ, "python": sys.executable, "ratings": str(ratings), "out": str(out)},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told, recommended = done.stdout.split("user,rank,item,rating\n")
    # Nothing is left of the folder that Matplotlib had meanwhile.
    assert told.splitlines()[-4:] == ["curve.png", "metrics.json", "model", "model.params"]
    assert [row.rsplit(",", 2)[0] for row in recommended.splitlines()[:2]] == ["3,1", "3,2"]
    assert len(recommended.splitlines()) == 3
    assert done.stderr.count("Compiled kernels cannot be kept") == 3, "once by each command"
    for complaint in ("Traceback", "Fontconfig", "matplotlib", "Matplotlib"):
        assert complaint not in done.stderr
