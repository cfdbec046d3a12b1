"""Reading labelled images: both layouts of CIFAR-10 are the same data, and no file can make reading run anything."""

from __future__ import annotations

import contextlib
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optitrip.core.arrays import Array
from optitrip.errors import InputError
from optitrip.objectives.data import cifar10, images
from optitrip.objectives.data.array_pickles import byte_array, loads

RECORDS = 20


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "RECORDS", RECORDS)


def write_cifar10(folder: Path, records: int) -> Array:
    """A small CIFAR-10 in the official binary layout; returns all records in order."""
    rng = np.random.default_rng(4)
    table = rng.integers(0, 256, (6 * records, 3_073), dtype=np.uint8)
    table[:, 0] %= 10
    for number in range(5):
        table[number * records : (number + 1) * records].tofile(folder / f"data_batch_{number + 1}.bin")
    table[5 * records :].tofile(folder / "test_batch.bin")
    return table


def python2(value: Any) -> bytes:
    """What Python 2's cPickle wrote of it at protocol 2, where text is bytes; without memo numbers."""
    match value:
        case dict():
            return b"}(" + b"".join(python2(key) + python2(item) for key, item in value.items()) + b"u"
        case list():
            return b"](" + b"".join(map(python2, value)) + b"e"
        case bytes():
            short = len(value) < 256
            return (b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<i", len(value))) + value
        case int():
            return b"K" + bytes([value]) if 0 <= value < 256 else b"J" + struct.pack("<i", value)
        case np.ndarray():
            empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + b"K\x00\x85U\x01b\x87R"
            dtype = b"cnumpy\ndtype\n" + python2(value.dtype.str[1:].encode()) + b"K\x00K\x01\x87R"
            state = b"(K\x03U\x01|NNN" + python2(-1) + python2(-1) + b"K\x00tb"
            shape = b"(" + b"".join(map(python2, value.shape)) + b"t"
            columns_first = not value.flags.c_contiguous
            raw = python2(value.tobytes("F" if columns_first else "C"))
            return empty + b"(K\x01" + shape + dtype + state + (b"\x88" if columns_first else b"\x89") + raw + b"tb"
        case _:
            raise TypeError(type(value))


def pickled(value: Any) -> bytes:
    return b"\x80\x02" + python2(value) + b"."


def batch(table: Array) -> dict[bytes, Any]:
    """The content of one pickled file."""
    return {
        b"batch_label": b"training batch 1 of 5",
        b"labels": table[:, 0].tolist(),
        b"data": np.ascontiguousarray(table[:, 1:]),
        b"filenames": [b"camion_s_000148.png"] * len(table),
    }


def write_pickles(folder: Path, table: Array) -> None:
    for name, part in zip(cifar10.BATCHES, np.split(table, 6), strict=True):
        (folder / name).write_bytes(pickled(batch(part)))


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    write_cifar10(tmp_path, RECORDS)
    return tmp_path


@pytest.fixture
def pickles(tmp_path: Path) -> Path:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    write_pickles(folder, write_cifar10(tmp_path, RECORDS))
    return folder


def test_cifar10_is_read_as_it_is_laid_out(tmp_path: Path) -> None:
    """Label byte first, five training files in order, one test file."""
    table = write_cifar10(tmp_path, RECORDS)
    data = images.load("cifar10", str(tmp_path))
    assert (data.train_pixels == table[:100, 1:]).all()
    assert (data.train_labels == table[:100, 0]).all()
    assert (data.test_pixels == table[100:, 1:]).all()
    assert (data.test_labels == table[100:, 0]).all()


def test_the_pickled_layout_is_the_same_data(pickles: Path) -> None:
    """To the digest, and to the dtype."""
    one, other = images.load("cifar10", str(pickles.parent)), images.load("cifar10", str(pickles))
    assert one.digest() == other.digest()
    for name in ("train_pixels", "train_labels", "test_pixels", "test_labels"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(other, name).dtype == np.uint8


def test_binary_files_win_where_both_are(pickles: Path) -> None:
    """Even if the pickled ones are damaged."""
    write_cifar10(pickles, RECORDS)
    (pickles / "data_batch_1").write_bytes(b"")
    assert images.load("cifar10", str(pickles)).digest() == images.load("cifar10", str(pickles.parent)).digest()


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_what_pickle_itself_reads(order: Any) -> None:
    """Of Python 2's files, and of those that today's Python and NumPy write, in both orders of memory."""
    array = np.asarray(np.random.default_rng(5).integers(0, 256, (20, 31), dtype=np.uint8), order=order)
    old = pickled({b"data": array})
    np.testing.assert_array_equal(pickle.loads(old, encoding="bytes")[b"data"], array)
    for raw in (old, pickle.dumps({b"data": array}, 3), pickle.dumps({b"data": array}, 4)):
        np.testing.assert_array_equal(byte_array(loads(raw)[b"data"], (20, 31)), array)


@pytest.mark.parametrize("harm", ["missing", "truncated", "labels", "folder"])
def test_damaged_cifar10_is_told_with_where_to_get_it(binary: Path, harm: str) -> None:
    """The file, what is wrong with it, the command that fetches it and the page of the data set."""
    file = binary / "data_batch_3.bin"
    if harm == "missing":
        file.unlink()
    elif harm == "truncated":
        file.write_bytes(file.read_bytes()[:-1])
    elif harm == "labels":
        file.write_bytes(b"\xff" * file.stat().st_size)
    else:
        file.unlink()
        file.mkdir()
    wanted = {"missing": "no such file", "truncated": "truncated", "labels": "labels above 9", "folder": "directory"}
    with pytest.raises(InputError, match=rf"data_batch_3.bin.*{wanted[harm]}.*`optitrip data cifar10`.*cifar.html"):
        images.load("cifar10", str(binary))


GOOD = batch(np.ones((RECORDS, 3_073), np.uint8))
LABELS = "b'labels' are not a list of 20 whole numbers from 0 to 9"


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ([GOOD], "holds no dictionary"),
        ({b"data": GOOD[b"data"]}, "holds no dictionary"),
        (GOOD | {b"labels": GOOD[b"labels"][1:]}, LABELS),
        (GOOD | {b"labels": [10] * RECORDS}, LABELS),
        (GOOD | {b"labels": [-1] * RECORDS}, LABELS),
        (GOOD | {b"labels": [b"1"] * RECORDS}, LABELS),
        (GOOD | {b"labels": b"1" * RECORDS}, LABELS),
        (GOOD | {b"labels": np.ones(RECORDS, np.uint8)}, LABELS),
        (GOOD | {b"data": GOOD[b"data"][1:]}, r"array of shape \(19, 3072\) and dtype b'u1', wanted .*\(20, 3072\)"),
        (GOOD | {b"data": GOOD[b"data"].T.copy()}, r"array of shape \(3072, 20\)"),
        (GOOD | {b"data": GOOD[b"data"].astype(np.int8)}, "dtype b'i1'"),
        (GOOD | {b"data": GOOD[b"data"].astype(np.float64)}, "dtype b'f8'"),
        (GOOD | {b"data": GOOD[b"labels"]}, "of type list"),
    ],
)
def test_other_pickles_are_told(pickles: Path, content: Any, wanted: str) -> None:
    """The file, what it holds and what was wanted, and where the right ones are."""
    (pickles / "data_batch_2").write_bytes(pickled(content))
    with pytest.raises(InputError, match=rf"data_batch_2: .*{wanted}.*`optitrip data cifar10`.*cifar.html"):
        images.load("cifar10", str(pickles))


def test_a_missing_pickle_is_told(pickles: Path) -> None:
    """By its name, without .bin."""
    (pickles / "test_batch").unlink()
    with pytest.raises(InputError, match=r"test_batch: no such file.*cifar.html"):
        images.load("cifar10", str(pickles))


def test_a_pickle_cut_anywhere_is_an_input_error(pickles: Path) -> None:
    """At every offset of its head and its end, and at many between."""
    file = pickles / "data_batch_1"
    whole = file.read_bytes()
    between = np.random.default_rng(6).integers(0, len(whole), 200).tolist()
    for size in sorted({*range(500), *between, *range(len(whole) - 500, len(whole))}):
        file.write_bytes(whole[:size])
        with pytest.raises(InputError, match="data_batch_1: is no whole pickle"):
            cifar10.pickled_table(file)


class Attack:
    """Pickled, it is a call of os.system."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        import os

        return vars(os)["system"], (self.command,)


ATTACKS = {
    "global": b"cos\nsystem\n(S'%b'\ntR.",
    "old class": b"(S'%b'\nios\nsystem\n.",
    "object": b"(cos\nsystem\nS'%b'\no.",
    "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93S'%b'\n\x85R.",
    "eval": b'c__builtin__\neval\n(S\'__import__("os").system("%b")\'\ntR.',
    "within an array": b"cnumpy.core.multiarray\n_reconstruct\n(cos\nsystem\n(S'%b'\ntRtR.",
    "within a state": b"cnumpy\ndtype\n(S'u1'\ntR(cos\nsystem\n(S'%b'\ntRtb.",
    "attribute of an allowed one": b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93S'%b'\n\x85R.",
    "module beside an allowed one": b"cnumpy.core.multiarray\nos.system\n(S'%b'\ntR.",
}


@pytest.mark.parametrize("attack", [*ATTACKS, "reduce", "reduce in a dictionary"])
def test_a_pickle_runs_nothing(pickles: Path, tmp_path: Path, attack: str) -> None:
    """The file and the global that it wants, in the message; no command runs."""
    trace = tmp_path / "trace"
    command = f"touch {trace}"
    if attack in ATTACKS:
        raw = ATTACKS[attack].replace(b"%b", command.encode())
    else:
        raw = pickle.dumps(Attack(command) if attack == "reduce" else GOOD | {b"more": [Attack(command)]}, 2)
    (pickles / "data_batch_1").write_bytes(raw)
    with pytest.raises(InputError, match=r"data_batch_1: wants \S*\.(system|eval|tofile|encode), and reading"):
        images.load("cifar10", str(pickles))
    assert not trace.exists()


def test_bytes_are_never_taken_for_objects(pickles: Path) -> None:
    """An array of dtype "O" whose bytes are addresses would end the process, were NumPy to read it."""
    forged = np.frombuffer(b"x" * (RECORDS * 3_072), np.uint8).reshape(RECORDS, 3_072)
    raw = pickled(GOOD | {b"data": forged}).replace(b"U\x02u1", b"U\x01O")
    (pickles / "data_batch_1").write_bytes(raw)
    with pytest.raises(InputError, match="dtype b'O', wanted"):
        images.load("cifar10", str(pickles))


@pytest.mark.parametrize(
    "raw",
    [
        b"cnumpy\ndtype\n(S'u1'\ntR}S'name'\nS'other'\nsb.",
        b"cnumpy\ndtype\n(N}S'__call__'\nNstb.",
        b"cnumpy\ndtype\n)\x81.",
        b"Pname\n.",
        b"\x82\x01.",
    ],
)
def test_a_pickle_changes_nothing_of_the_next_one(raw: bytes) -> None:
    """Whatever state it sets, an array read afterwards is what it was."""
    with contextlib.suppress(ValueError):
        loads(raw)
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    np.testing.assert_array_equal(byte_array(loads(pickled(array)), (2, 3)), array)


def test_the_digest_tells_data_apart(binary: Path) -> None:
    """One changed pixel is other data."""
    before = images.load("cifar10", str(binary)).digest()
    assert images.load("cifar10", str(binary)).digest() == before
    file = binary / "test_batch.bin"
    file.write_bytes(file.read_bytes()[:-1] + bytes([file.read_bytes()[-1] ^ 1]))
    assert images.load("cifar10", str(binary)).digest() != before


def test_the_digest_of_the_digits_never_changes() -> None:
    """It is part of what a sweep is: another digest would make every finished sweep of digits another sweep."""
    assert images.digits().digest() == "4166d6c183de4451c87dbc5a100486e7"


def test_pictures_of_cifar10_put_colours_last(binary: Path) -> None:
    """A pixel's red, green and blue lie 1,024 apart in the file and side by side in a picture; rows stay rows."""
    data = images.load("cifar10", str(binary))
    weights = np.arange(30_720, dtype=np.float32).reshape(10, 3_072)
    pictures = data.pictures(weights)
    assert list(pictures)[:2] == ["airplane", "automobile"]
    assert list(pictures) == list(cifar10.CLASSES)
    frog = pictures["frog"]
    assert (frog.shape, frog.dtype) == ((32, 32, 3), np.float64)
    for row, column, colour in [(0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1), (31, 2, 2)]:
        assert frog[row, column, colour] == weights[6, colour * 1_024 + row * 32 + column]


def test_pictures_of_digits_are_rows_of_pixels() -> None:
    """One of each class, in the order of the file, and a copy of the weights."""
    weights = np.random.default_rng(7).standard_normal((10, 64))
    pictures = images.digits().pictures(weights)
    assert list(pictures) == [str(digit) for digit in range(10)]
    np.testing.assert_array_equal(pictures["3"], [weights[3, 8 * row : 8 * row + 8] for row in range(8)])
    pictures["3"][0, 0] = np.inf
    assert np.isfinite(weights).all()


@pytest.mark.parametrize("shape", [(10, 65), (9, 64), (640,), (10, 8, 8)])
def test_pictures_of_other_weights_are_refused(shape: tuple[int, ...]) -> None:
    """With both shapes; a bias has no place in a picture."""
    with pytest.raises(ValueError, match=r"wanted \(10, 64\).*without a bias"):
        images.digits().pictures(np.zeros(shape))
