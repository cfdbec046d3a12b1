"""Labelled images: the digits that come with optitrip, and CIFAR-10 from its official binary files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from optitrip.errors import InputError, nearest
from optitrip.part import Array

CIFAR10_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
CIFAR10_RECORDS, CIFAR10_PIXELS = 10_000, 3_072
CIFAR10_DEFAULT = "data/cifar-10-batches-bin"


@dataclass(frozen=True)
class Images:
    """Pixels, uint8 of shape (images, pixels), and labels 0, 1, ..., uint8 of shape (images,), twice."""

    train_pixels: Array
    train_labels: Array
    test_pixels: Array
    test_labels: Array
    classes: int = 10

    def digest(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for array in (self.train_pixels, self.train_labels, self.test_pixels, self.test_labels):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def load(data: str, path: str | None = None) -> Images:
    """Load a data set by name.

    Raises:
        InputError: if there is no such data set, or its files are missing or damaged.
    """
    if data == "digits":
        if path is not None:
            raise InputError(f"digits come with optitrip and take no path, was {path!r}")
        return digits()
    if data == "cifar10":
        return cifar10(Path(path or CIFAR10_DEFAULT).expanduser())
    raise InputError(f"data was {data!r}; {nearest(data, ['digits', 'cifar10'])}")


def digits() -> Images:
    """The 1,797 handwritten digits of 8 x 8 pixels from 0 to 16; the last 360 are the test images.

    E. Alpaydin, C. Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning Repository, 1998 (CC BY
    4.0); the test file of it, in its order, which is by writer: the last fifth holds hands that training never saw.
    """
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        pixels, labels = file["pixels"], file["labels"]
    return Images(pixels[:1437], labels[:1437], pixels[1437:], labels[1437:])


def cifar10(folder: Path) -> Images:
    """The 50,000 + 10,000 colour images of 32 x 32 pixels of CIFAR-10, in the official binary layout.

    A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009. A record is a label byte and 3,072
    bytes: the red, green and blue planes, row by row.
    """
    batches = [records(folder / f"data_batch_{k}.bin") for k in range(1, 6)]
    train, test = np.concatenate(batches), records(folder / "test_batch.bin")
    return Images(train[:, 1:], train[:, 0], test[:, 1:], test[:, 0])


def records(file: Path) -> Array:
    """The records of one CIFAR-10 file, uint8 of shape (10,000, 3,073)."""
    where = (
        f'The "binary version" of CIFAR-10 is at {CIFAR10_PAGE}; unpack it and set [objective.arguments] path to the '
        "folder cifar-10-batches-bin"
    )
    try:
        raw = np.fromfile(file, np.uint8)
    except FileNotFoundError:
        raise InputError(f"{file.absolute()}: no such file. {where}") from None
    except OSError as error:
        raise InputError(f"{file.absolute()}: cannot be read: {error}. {where}") from None
    wanted = CIFAR10_RECORDS * (1 + CIFAR10_PIXELS)
    if raw.size != wanted:
        raise InputError(f"{file.absolute()}: has {raw.size:,} bytes, wanted {wanted:,}: truncated? {where}")
    table = raw.reshape(CIFAR10_RECORDS, 1 + CIFAR10_PIXELS)
    if table[:, 0].max() > 9:
        raise InputError(f"{file.absolute()}: has labels above 9, so it is not a CIFAR-10 file. {where}")
    return table
