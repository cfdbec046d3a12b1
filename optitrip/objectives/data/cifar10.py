"""The files of CIFAR-10, in either layout of its page: the "binary version" or the pickled "python version".

A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009: 60,000 colour images of 32 x 32 pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from optitrip.errors import InputError
from optitrip.objectives.data import array_pickles
from optitrip.core.arrays import Array

PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
DEFAULT = "data/cifar-10-batches-bin"
SHAPE = (32, 32, 3)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORDS, PIXELS = 10_000, 3_072
BATCHES = (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")
"""The files of both layouts, to which the binary one adds .bin: five of training images, then that of test images."""
WHERE = (
    f"`optitrip data cifar10` fetches CIFAR-10 to {DEFAULT}, where sweeps look for it; or unpack one of its archives "
    f"from {PAGE} and set [objective.arguments] path to the folder of its files"
)


def tables(folder: Path) -> tuple[Array, Array]:
    """Training and test images, uint8 of shapes (50,000, 3,073) and (10,000, 3,073).

    A row is a label, then the red, green and blue planes, row by row. Binary files win where a folder holds both.

    Raises:
        InputError: if a file is missing or damaged.
    """
    try:
        pickled = (folder / "data_batch_1").exists() and not (folder / "data_batch_1.bin").exists()
    except OSError:
        pickled = False  # the reading below fails too, and says why
    if pickled:
        batches = [pickled_table(folder / name) for name in BATCHES]
    else:
        batches = [binary_table(folder / f"{name}.bin") for name in BATCHES]
    return np.concatenate(batches[:5]), batches[5]


def binary_table(file: Path) -> Array:
    """The records of one binary file, uint8 of shape (10,000, 3,073): label byte, then pixels.

    Raises:
        InputError: if the file is missing, of another size, or holds labels above 9.
    """
    raw = contents(file)
    wanted = RECORDS * (1 + PIXELS)
    if len(raw) != wanted:
        raise InputError(f"{file.absolute()}: has {len(raw):,} bytes, wanted {wanted:,}: truncated? {WHERE}")
    table = np.frombuffer(raw, np.uint8).reshape(RECORDS, 1 + PIXELS)
    if table[:, 0].max() > 9:
        raise InputError(f"{file.absolute()}: has labels above 9, so it is not a CIFAR-10 file. {WHERE}")
    return table


def pickled_table(file: Path) -> Array:
    """The same of one pickled file, a dictionary of Python 2 with b"data" and b"labels"; nothing in it is run.

    Raises:
        InputError: if the file is missing, no whole pickle of this kind, or asks for anything but arrays.
    """
    try:
        content = array_pickles.loads(contents(file))
        if not (isinstance(content, dict) and b"data" in content and b"labels" in content):
            raise ValueError("holds no dictionary with b'data' and b'labels', so it is not a CIFAR-10 file")
        labels = content[b"labels"]
        if not (isinstance(labels, list) and len(labels) == RECORDS and all(map(is_label, labels))):
            raise ValueError(f"its b'labels' are not a list of {RECORDS:,} whole numbers from 0 to 9")
        try:
            pixels = array_pickles.byte_array(content[b"data"], (RECORDS, PIXELS))
        except ValueError as error:
            raise ValueError(f"its b'data' {error}") from None
    except ValueError as error:
        raise InputError(f"{file.absolute()}: {error}. {WHERE}") from None
    return np.column_stack([np.array(labels, np.uint8), pixels])


def is_label(value: object) -> bool:
    return type(value) is int and 0 <= value <= 9


def contents(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{file.absolute()}: no such file. {WHERE}") from None
    except OSError as error:
        raise InputError(f"{file.absolute()}: cannot be read: {error.strerror or error}. {WHERE}") from None
