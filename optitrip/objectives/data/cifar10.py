"""Reads the files of CIFAR-10's "binary version".

A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009: 60,000 colour images of 32 x 32 pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from optitrip.core.arrays import Array
from optitrip.errors import InputError

PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
DEFAULT = "data/cifar-10-batches-bin"
SHAPE = (32, 32, 3)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORDS, PIXELS = 10_000, 3_072
FILES = (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin")
"""Five files of training images, then one of test images."""
ADVICE = (
    f"`optitrip data cifar10` fetches the binary version to {DEFAULT}, where sweeps look for it; or unpack it by hand "
    f"from {PAGE} and set [objective.arguments] path to the folder of its files"
)


def read_tables(folder: Path) -> tuple[Array, Array]:
    """Read training and test images, uint8 of shapes (50,000, 3,073) and (10,000, 3,073).

    A row is a label, then the red, green and blue planes, row by row.

    Raises:
        InputError: if a file is missing or damaged.
    """
    tables = [read_table(folder / name) for name in FILES]
    return np.concatenate(tables[:5]), tables[5]


def read_table(file: Path) -> Array:
    """Read the records of one file, uint8 of shape (10,000, 3,073): label byte, then pixels. Raises InputError if the
    file is missing, of another size, or holds labels above 9."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        if file.with_suffix("").exists():
            raise InputError(
                f'{file.parent.absolute()}: holds {file.stem}, of CIFAR-10\'s pickled "python version", which optitrip '
                f"does not read; wanted {file.name}, of the binary version. {ADVICE}"
            ) from None
        raise InputError(f"{file.absolute()}: no such file. {ADVICE}") from None
    except OSError as error:
        raise InputError(f"{file.absolute()}: cannot be read: {error.strerror or error}. {ADVICE}") from None
    size = RECORDS * (1 + PIXELS)
    if len(content) != size:
        raise InputError(f"{file.absolute()}: has {len(content):,} bytes, wanted {size:,}: truncated? {ADVICE}")
    table = np.frombuffer(content, np.uint8).reshape(RECORDS, 1 + PIXELS)
    if table[:, 0].max() > 9:
        raise InputError(f"{file.absolute()}: has labels above 9, so it is not a CIFAR-10 file. {ADVICE}")
    return table
