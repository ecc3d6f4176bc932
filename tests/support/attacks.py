"""Attacks on folders of models and checkpoints, each in a process of its own.

``python -m support.attacks NAME FOLDER TIMES SEED`` does one, and prints what came of it in JSON.
MXNet takes a second to import, so one process forks those that are killed, and one meets many
mutations.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import signal
import struct
import sys
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any, Callable

import numpy

from support import FIRST_FORMAT
from support.processes import python

LIMIT = 2 << 30  # bytes of memory that a mutation may take, with all libraries


def attack(name: str, folder: Path, times: int, seed: int = 0, timeout: float = 3600) -> Any:
    """Run an attack in another process; return what it printed."""
    # Threads' stacks count for the limit of memory.
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    arguments = "-m", "support.attacks", name, folder, times, seed
    done = python(*arguments, timeout=timeout, **threads)
    assert done.returncode == 0, (done.returncode, done.stdout[-2000:], done.stderr[-4000:])
    return json.loads(done.stdout.splitlines()[-1])


def in_child(action: Callable[[], Any]) -> int:
    """Do something in a forked process; return its number."""
    child = os.fork()
    if child:
        return child
    try:
        action()
        os._exit(0)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def kill_saves(folder: Path, times: int, seed: int) -> Any:
    """Kill processes that save again and again; return the scales, which count the saves."""
    from autorec import Recommender

    def save_for_ever() -> None:
        while True:
            model.scale_ = model.scale_[0], model.scale_[1] + 1
            model.save(folder)

    model = Recommender.load(folder)
    started = time.perf_counter()
    model.save(folder)
    seconds = time.perf_counter() - started
    dice, scales = random.Random(seed), [model.scale_[1]]
    for _ in range(times):
        child = in_child(save_for_ever)
        time.sleep(dice.uniform(0, 5 * seconds))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        model = Recommender.load(folder)
        scales.append(model.scale_[1])
    return {"scales": scales, "files": sorted(path.name for path in folder.iterdir())}


def write_and_read(folder: Path, times: int, seed: int) -> Any:
    """Have two processes save to one folder `times` times each, and a third one read."""
    from autorec import Recommender

    def save() -> None:
        model = Recommender.load(folder)
        number = os.getpid()
        for _ in range(times):
            number += 1
            model.scale_ = 0.0, float(number)
            model.save(folder)

    stop = folder.with_name("stop")

    def read() -> None:
        count = 0
        while not stop.exists():
            Recommender.load(folder)
            count += 1
        stop.write_text(str(count))

    reader, *writers = in_child(read), in_child(save), in_child(save)
    codes = [os.waitpid(child, 0)[1] for child in writers]
    stop.touch()
    codes.append(os.waitpid(reader, 0)[1])
    scale = Recommender.load(folder).scale_[1]
    return {"codes": codes, "read": int(stop.read_text() or 0), "scale": scale}


TRAINED = {
    "num_hidden": (4, 2, 4), "num_epochs": 12, "learning_rate": 0.02, "devices": "cpu",
    "batch_size": 3, "dropout": 0.3, "averaging": 0.5, "decay_power": 0.5, "random_state": 3,
    "learning_rate_decay": 0.9, "compute": "dense",
}  # fmt: skip


def kill_runs(folder: Path, times: int, seed: int) -> Any:
    """Kill processes that train, and resume until they end; compare with what was never stopped."""
    from autorec import Recommender
    from autorec.training.checkpoints import Checkpoints

    ratings = FIRST_FORMAT / "ratings.csv"

    def train(into: Path, place: Path) -> None:
        model = Recommender(**TRAINED)  # type: ignore[arg-type]
        model.fit(ratings, checkpoints=Checkpoints(place), resume=True)
        model.save(into)

    def ended(child: int) -> bool:
        return os.waitpid(child, 0)[1] == 0

    dice, started = random.Random(seed), time.perf_counter()
    assert ended(in_child(lambda: train(folder / "whole", folder / "first")))
    seconds = time.perf_counter() - started
    (whole,) = (folder / "whole").glob("weights-*")
    kills = runs = same = 0
    resumed_from: list[int] = []
    while kills < times:
        place = folder / f"run-{runs}"
        while True:
            resumed_from.append(max(Checkpoints(place).epochs(), default=0))
            child = in_child(lambda: train(folder / "model", place))  # noqa: B023
            time.sleep(dice.uniform(0, seconds))
            if os.waitpid(child, os.WNOHANG)[0] == 0:
                os.kill(child, signal.SIGKILL)
                if os.WIFSIGNALED(os.waitpid(child, 0)[1]):
                    kills += 1
                    continue
            break
        runs += 1
        same += (folder / "model" / whole.name).exists()
        shutil.rmtree(folder / "model")
        shutil.rmtree(place)
    return {"kills": kills, "runs": runs, "same": same, "resumed from": resumed_from}


# Mutations: what a stranger can send, who makes the checksums fit again.


def mutate_model(folder: Path, times: int, seed: int) -> Any:
    """Load mutations of a model; count what was refused and what loaded and predicted."""
    from autorec import Recommender
    from autorec.data.ratings import Ratings

    def use(mutated: Path) -> None:
        # Of the ratings, too, the checksum fits.
        Ratings.checksum = lambda self: total(mutated)  # type: ignore[method-assign]
        model = Recommender.load(mutated, devices="cpu")
        users, items = model.ratings_.pairs()
        model.predict(users, items)
        model.recommend(k=2)

    return _mutated(folder, times, seed, use)


def mutate_checkpoint(folder: Path, times: int, seed: int) -> Any:
    """Resume mutations of a run in the folder, whose parameters are in parameters.json."""
    from autorec import Recommender
    from autorec.training.checkpoints import Checkpoint, Checkpoints

    parameters = json.loads((folder / "parameters.json").read_text())
    ratings = FIRST_FORMAT / "ratings.csv"

    def use(mutated: Path) -> None:
        begun = Checkpoint.read(mutated)
        model = Recommender(**parameters)
        model.fit(ratings, checkpoints=Checkpoints(mutated.parent), resume=begun)

    (epoch,) = folder.glob("epoch-*")
    return _mutated(epoch, times, seed, use)


def total(folder: Path) -> Any:
    manifest = json.loads((folder / "manifest.json").read_text())
    return manifest.get("body", manifest).get("sha256_ratings")


def _mutated(folder: Path, times: int, seed: int, use: Callable[[Path], None]) -> Any:
    from autorec.errors import AutorecError

    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    warnings.simplefilter("ignore")
    room = folder.parent / f"mutated-{folder.name}"
    counts, raws = {"refused": 0, "loaded": 0}, []
    use(Path(shutil.copytree(folder, room / folder.name)))
    shutil.rmtree(room)
    for number in range(times):
        dice = random.Random(f"{seed} {number}")
        mutated = Path(shutil.copytree(folder, room / folder.name))
        what = mutate(mutated, dice)
        print(number, what, file=sys.stderr, flush=True)  # read where the process dies
        try:
            use(mutated)
            counts["loaded"] += 1
        except AutorecError as error:
            counts["refused"] += 1
            if len(str(error)) > 5000:
                raws.append(f"{number} {what}: a long message: {error!s:.300}")
        except Exception as error:
            raws.append(f"{number} {what}: {type(error).__name__}: {error!s:.300}")
        finally:
            shutil.rmtree(room)
    return {**counts, "raw": raws}


def mutate(folder: Path, dice: random.Random) -> str:
    """Change something in a folder, and make the checksums fit; return what."""
    manifest = json.loads((folder / "manifest.json").read_text())
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".params", ".npz"))
    if dice.random() < 0.45:
        body = folder / "state.json"  # of the first format
        if body.exists():
            text, what = _mutated_json(json.loads(body.read_text()), dice)
            body.write_text(text)
        else:
            text, what = _mutated_json(manifest, dice)
            (folder / "manifest.json").write_text(text)
        fit_checksums(folder)
        return what
    path = dice.choice(paths)
    content = path.read_bytes()
    if path.suffix == ".npz" and dice.random() < 0.6:
        what = _craft_npz(path, dice)
    else:
        new, what = _mutated_bytes(content, dice)
        path.write_bytes(new)
    fit_checksums(folder)
    return f"{path.name}: {what}"


def fit_checksums(folder: Path) -> None:
    """Make names, sizes and checksums those of what is there."""
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text())
        if "checkpoint" in manifest:
            for name in manifest["sha256"]:
                content = (folder / name).read_bytes()
                manifest["sha256"][name] = hashlib.sha256(content).hexdigest()
            path.write_text(json.dumps(manifest))
            return
        for name, facts in manifest["files"].items():
            content = (folder / facts["file"]).read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            stem, _, suffix = name.partition(".")
            new = f"{stem}-{digest[:16]}.{suffix}"
            os.rename(folder / facts["file"], folder / new)
            facts.update(file=new, size=len(content), sha256=digest)
    except RecursionError:
        return
    except (LookupError, TypeError, AttributeError, OSError, ValueError):
        pass  # the mutation is of what would be made to fit
    try:
        manifest.pop("sha256", None)
        text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
        manifest["sha256"] = hashlib.sha256(text.encode()).hexdigest()
        path.write_text(json.dumps(manifest))
    except (AttributeError, TypeError, RecursionError, UnboundLocalError):
        pass


ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 2**31, 2**62, 2**63, 2**70, -(2**70), 10**59, 1e308,
    -1e308, 0.5, -0.0, 5e-324, "", "x", "gpu:77", "cpu:99", "1", "\x00", "\u202e", "\ud800",
    "a" * 5000, "../x",
    [], {}, [[]], [[], {}], {"": None}, [1, "1"], [1, True], [1.0, 1], [None],
    {"array": "weights"}, {"array": "nothing"}, {"dict": [[{}, 1]]}, {"tuple": []}, {"list": 5},
    {"a": 1, "b": 2},
    ["x"] * 9, float("nan"), float("inf"), [0] * 10_000, list(range(9)), {"dict": []},
    {"dict": [[0, {"dict": []}]]},
)  # fmt: skip


def _mutated_json(tree: Any, dice: random.Random) -> tuple[str, str]:
    """Replace, remove or repeat a random node, or nest deeply; return JSON."""
    places: list[tuple[Any, Any, str]] = []

    def walk(node: Any, where: str) -> None:
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        for key, each in list(pairs):
            places.append((node, key, f"{where}/{key}"))
            if isinstance(each, (dict, list)):
                walk(each, f"{where}/{key}")

    walk(tree, "")
    # Long lists would get all the blows otherwise.
    by_depth = [place for place in places if place[2].count("/") <= dice.choice((1, 2, 3, 4, 99))]
    node, key, where = dice.choice(by_depth)
    how = dice.choice(("odd", "odd", "odd", "odd", "odd", "gone", "twice", "deep", "sibling"))
    if how == "odd":
        odd = dice.choice(ODD)
        node[key] = odd
        how = f"{odd!r:.60}"
    elif how == "gone":
        del node[key]
    elif how == "twice" and isinstance(node, list):
        node.append(node[key])
    elif how == "sibling":
        node[key] = dice.choice(list(node.values()) if isinstance(node, dict) else node)
    elif how == "deep":
        depth = dice.choice((50, 500, 900, 100_000))
        node[key] = "DEEP"
        opened = dice.choice(("[]", '{"dict":[["a",]]}', '{"list":[]}'))
        middle = {"[]": 1, '{"dict":[["a",]]}': 14, '{"list":[]}': 9}[opened]
        text = opened[:middle] * depth + opened[middle:] * depth
        return json.dumps(tree).replace('"DEEP"', text.replace(",]", ",1]", 1)), f"{where} deep"
    else:
        node[key] = [node[key], node[key]]
    return json.dumps(tree, indent=1), f"{where}: {how}"


def _mutated_bytes(content: bytes, dice: random.Random) -> tuple[bytes, str]:
    """Change bytes: above all the numbers in headers, which ask for memory."""
    data = bytearray(content)
    how = dice.choice(("number", "number", "number", "flip", "cut", "grow", "swap", "word"))
    place = dice.randrange(len(data))
    if how in ("number", "word"):
        # Headers are at the beginning, and at the end of an archive.
        place = dice.choice((dice.randrange(0, 120), place, -dice.randrange(1, 120))) % len(data)
        size, form = (8, "<Q") if how == "number" else (4, "<I")
        place -= place % 4
        odd = dice.choice((*range(4), *(2**n for n in (16, 20, 31, 40, 61, 63)), 2**31 - 1,
                           2**32 - 1, 2**64 - 1, dice.getrandbits(64)))  # fmt: skip
        data[place : place + size] = struct.pack(form, odd % 2 ** (8 * size))
        how = f"{odd} at {place}"
    elif how == "flip":
        data[place] ^= 1 << dice.randrange(8)
    elif how == "cut":
        del data[place:]
    elif how == "grow":
        data[place:place] = bytes(dice.randrange(1, 5000))
    else:
        data[place : place + 8], data[:8] = data[:8], data[place : place + 8]
    return bytes(data), how


def _craft_npz(path: Path, dice: random.Random) -> str:
    """Write an archive that NumPy would take, or unpack, and should not."""
    with numpy.load(path, allow_pickle=False) as stored:
        arrays = dict(stored)
    name = dice.choice(list(arrays))
    array = arrays[name]
    how = dice.choice(("type", "shape", "bomb", "claim", "pickle", "names", "many", "packing",
                       "values", "swapped", "transposed", "empty"))  # fmt: skip
    packing, extra = zipfile.ZIP_DEFLATED, b""
    if how == "type":
        arrays[name] = array.astype(
            dice.choice(("<f8", "<i2", "|u1", ">i4", "<c8", "|S4", "<M8[s]", "|b1"))
        )
    elif how == "shape":
        arrays[name] = (
            array.reshape((*array.shape, 1)) if dice.random() < 0.5 else array.ravel()[:-1]
        )
    elif how == "bomb":
        arrays[name] = numpy.zeros(dice.choice((10**6, 2 * 10**7)), array.dtype)
    elif how == "pickle":
        arrays[name] = numpy.array([{}], dtype=object)
    elif how == "names":
        arrays = {dice.choice(("", "../x", "a\0b", "users ", "☃")): array, **arrays}
    elif how == "many":
        arrays = {**arrays, **{f"{name}{i}": array[:0] for i in range(2000)}}
    elif how == "packing":
        packing = dice.choice((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    elif how == "values":
        odd = numpy.array(
            dice.choice((-1, 0, 2**31 - 1, -(2**31), 1e38, float("nan"), float("inf")))
        )
        with numpy.errstate(all="ignore"):
            arrays[name] = numpy.where(numpy.arange(array.size).reshape(array.shape) % 5 == 0,
                                       odd.astype(array.dtype), array)  # fmt: skip
    elif how == "swapped":
        other = dice.choice(list(arrays))
        arrays[name], arrays[other] = arrays[other], arrays[name]
    elif how == "transposed":
        arrays[name] = array.T
    elif how == "empty":
        arrays = {name: array[:0] for name, array in arrays.items()}
    else:  # a header that asks for more than there is, or runs
        shape = dice.choice((b"(99999999999,)", b"(9, 99999999999999999999)", b"(-1,)", b"()",
                             b"(1,)*9", b"(" * 400 + b")" * 400, b"(4294967297,)",
                             b"(2,)"))  # fmt: skip
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + b", }"
        header += b" " * (-(len(header) + 11) % 64) + b"\n"
        extra = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(8)
    with zipfile.ZipFile(path, "w", packing) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for each, values in arrays.items():
            with archive.open(f"{each}.npy", "w", force_zip64=True) as member:
                if each == name and extra:
                    member.write(extra)
                else:
                    numpy.lib.format.write_array(member, numpy.asarray(values))
    return f"{name} {how}"


if __name__ == "__main__":
    named = {each.__name__: each for each in (
        kill_saves, write_and_read, kill_runs, mutate_model, mutate_checkpoint)}  # fmt: skip
    print(json.dumps(named[sys.argv[1]](Path(sys.argv[2]), *map(int, sys.argv[3:]))))
