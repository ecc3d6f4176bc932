"""Archives of arrays are NumPy's, and a stranger's is not unpacked before its headers are read."""

import tracemalloc
import zipfile

import numpy
import pytest

from autorec._storage import npz
from autorec._storage.npz import stored_arrays, write_npz


def read(path):
    with path.open("rb") as file:
        return {name: stored.read() for name, stored in stored_arrays(file).items()}


@pytest.mark.parametrize("packed", [False, True])
def test_numpy_reads_what_is_written_and_the_reverse(tmp_path, packed):
    arrays = {
        "a/b": numpy.arange(6, dtype="float32").reshape(2, 3),
        "transposed": numpy.arange(6, dtype="int64").reshape(2, 3).T,
        "empty": numpy.empty((0, 3), dtype="int32"),
        "number": numpy.array(2.5),
        "flags": numpy.array([True, False]),
    }
    with (tmp_path / "ours.npz").open("wb") as file:
        write_npz(file, arrays, packed=packed)
    (numpy.savez_compressed if packed else numpy.savez)(tmp_path / "numpys.npz", **arrays)
    with numpy.load(tmp_path / "ours.npz", allow_pickle=False) as found:
        for each in (dict(found), read(tmp_path / "ours.npz"), read(tmp_path / "numpys.npz")):
            assert list(each) == list(arrays)
            for name, array in arrays.items():
                numpy.testing.assert_array_equal(each[name], array)
                assert each[name].dtype == array.dtype


def test_a_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.npz"
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (50000000,), }\n"
    content = b"\x93NUMPY\x01\x00" + bytes([len(header), 0]) + header + bytes(200_000_000)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("values.npy", content)
    del content
    assert path.stat().st_size < 300_000
    tracemalloc.start()
    with pytest.raises(ValueError, match="unpacks to far more than its size"):
        read(path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_large_arrays_are_not_packed_so_that_they_can_be_told_from_bombs(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "LARGEST_PACKED", 100_000)
    for size in (20_000, 40_000):
        with (tmp_path / f"{size}.npz").open("wb") as file:
            write_npz(file, {"a": numpy.zeros(size, "float32")}, packed=True)
        assert ((tmp_path / f"{size}.npz").stat().st_size < 1000) == (size == 20_000)
        assert len(read(tmp_path / f"{size}.npz")["a"]) == size


@pytest.mark.parametrize(
    ("header", "length"),
    [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }", 8),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999999), }", 8),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 8),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", 8),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", 8),
        ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", 8),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 300 + ")" * 300 + ", }", 8),
    ],
)
def test_headers_that_lie_or_run_are_refused(tmp_path, header, length):
    path = tmp_path / "odd.npz"
    with zipfile.ZipFile(path, "w") as archive:
        text = header.encode() + b"\n"
        size = len(text).to_bytes(2, "little")
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + size + text + bytes(length))
    with pytest.raises(ValueError, match="another size than its header says|of plain numbers"):
        read(path)


def test_an_archive_packed_otherwise_or_with_a_name_twice_is_refused(tmp_path):
    content = (tmp_path / "a.npy", numpy.arange(3))
    numpy.save(*content)
    for packing in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        with zipfile.ZipFile(tmp_path / "odd.npz", "w", packing) as archive:
            archive.write(tmp_path / "a.npy", "a.npy")
        with pytest.raises(ValueError, match="packed in a way that NumPy does not use"):
            read(tmp_path / "odd.npz")
    with zipfile.ZipFile(tmp_path / "odd.npz", "w") as archive:
        archive.write(tmp_path / "a.npy", "a.npy")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.write(tmp_path / "a.npy", "a.npy")
    with pytest.raises(ValueError, match="or holds it twice"):
        read(tmp_path / "odd.npz")
