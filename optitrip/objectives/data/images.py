"""Labelled images: the digits that come with optitrip, and CIFAR-10 from its official files."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.differences import nearest
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


@dataclass(frozen=True)
class Images:
    """Pixels, uint8 of shape (images, pixels), and labels 0, 1, ..., uint8 of shape (images,), for training and test.

    `shape` is that of one image, (height, width) or (height, width, 3), whose pixels are in the file's order: planes of
    colour one after the other, each row by row. `names` are those of the classes.
    """

    train_pixels: Array
    train_labels: Array
    test_pixels: Array
    test_labels: Array
    shape: tuple[int, ...]
    names: tuple[str, ...]

    def digest(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for array in (self.train_pixels, self.train_labels, self.test_pixels, self.test_labels):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def pictures(self, weights: Array) -> dict[str, Array]:
        """Return weights of shape (classes, pixels), in the file's order, as a float64 image of `shape` for each class,
        by name. Raises ValueError for weights of another shape."""
        wanted = (len(self.names), math.prod(self.shape))
        if weights.shape != wanted:
            raise ValueError(f"weights have shape {weights.shape}, wanted {wanted}: classes and pixels, without a bias")
        height, width, *colours = self.shape
        planes = np.array(weights, np.float64).reshape(len(self.names), *colours, height, width)
        return dict(zip(self.names, np.moveaxis(planes, 1, -1) if colours else planes, strict=True))


def load(data: str, path: str | None = None) -> Images:
    """Load a data set by name; raises InputError if there is no such data set, or its files are missing or damaged."""
    if data == "digits":
        if path is not None:
            raise InputError(f"digits come with optitrip and take no path, was {path!r}")
        return digits()
    if data == "cifar10":
        return cifar10(Path(path or DEFAULT).expanduser())
    raise InputError(f"data was {data!r}; {nearest(data, ['digits', 'cifar10'])}")


def digits() -> Images:
    """Load the 1,797 handwritten digits of 8 x 8 pixels from 0 to 16; the last 360 are the test images.

    E. Alpaydin, C. Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning Repository, 1998 (CC BY
    4.0); its test file, in its order, which is by writer: the last fifth holds hands that are not in the training set.
    """
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        pixels, labels = file["pixels"], file["labels"]
    return Images(pixels[:1437], labels[:1437], pixels[1437:], labels[1437:], (8, 8), tuple("0123456789"))


def cifar10(folder: Path) -> Images:
    """Load the 50,000 + 10,000 colour images of 32 x 32 pixels of CIFAR-10 from the files of its "binary version".

    A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    """
    *train_tables, test = (read_table(folder / name) for name in FILES)
    train = np.concatenate(train_tables)
    return Images(train[:, 1:], train[:, 0], test[:, 1:], test[:, 0], SHAPE, CLASSES)


def read_table(file: Path) -> Array:
    """Read the records of one file, uint8 of shape (10,000, 3,073): a label, then red, green and blue planes by rows.

    Raises:
        InputError: if the file is missing, of another size, or holds labels above 9.
    """
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
