"""Reading labelled images: the files of CIFAR-10, damaged ones, digests and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optitrip.core.arrays import Array
from optitrip.errors import InputError
from optitrip.objectives.data import images

RECORDS = 20


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "RECORDS", RECORDS)


def write_cifar10(folder: Path, records: int) -> Array:
    """A small CIFAR-10 in the official binary layout; returns all records in order."""
    rng = np.random.default_rng(4)
    table = rng.integers(0, 256, (6 * records, 3_073), dtype=np.uint8)
    table[:, 0] %= 10
    for number in range(5):
        table[number * records : (number + 1) * records].tofile(folder / f"data_batch_{number + 1}.bin")
    table[5 * records :].tofile(folder / "test_batch.bin")
    return table


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    write_cifar10(tmp_path, RECORDS)
    return tmp_path


def test_cifar10_is_read_as_it_is_laid_out(tmp_path: Path) -> None:
    """Label byte first, five training files in order, one test file."""
    table = write_cifar10(tmp_path, RECORDS)
    data = images.load("cifar10", str(tmp_path))
    assert (data.train_pixels == table[:100, 1:]).all()
    assert (data.train_labels == table[:100, 0]).all()
    assert (data.test_pixels == table[100:, 1:]).all()
    assert (data.test_labels == table[100:, 0]).all()


@pytest.mark.parametrize("harm", ["missing", "truncated", "labels", "folder"])
def test_damaged_cifar10_is_reported_with_where_to_get_it(binary: Path, harm: str) -> None:
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


def test_the_pickled_layout_is_refused_with_what_to_fetch(binary: Path) -> None:
    """The folder, the file that is there, the file that is wanted, and the command that fetches it."""
    for file in binary.iterdir():
        file.rename(file.with_suffix(""))
    with pytest.raises(InputError) as caught:
        images.load("cifar10", str(binary))
    message = str(caught.value)
    assert message.startswith(f"{binary}: holds data_batch_1, ")
    assert "wanted data_batch_1.bin" in message
    assert "`optitrip data cifar10` fetches the binary version" in message


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
    assert list(pictures) == list(images.CLASSES)
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
