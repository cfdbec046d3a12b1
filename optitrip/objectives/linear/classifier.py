"""Base of the losses of linear image classifiers: data, shapes, matrix products by chunks, accuracies, pictures.

    f(W) = (1/N) sum_i loss(s_i, y_i) + l2 sum W^2,    s = X W^T

A subclass adds two functions of the scores: the loss of each image, and its slope by each score.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import numpy as np

from optitrip.core.arrays import Array
from optitrip.errors import InputError
from optitrip.objectives.data import images
from optitrip.objectives.linear.surrogates import ByPyTorch, LowRank

ROWS = 4096
"""Number of images per chunk: fixed, because BLAS rounding depends on the shape."""


class LinearAround(ABC):
    """The loss around one W, shape (classes, features), on images with features x, shape (images, features), and
    labels, with the penalty l2 * sum(W ** 2)."""

    def __init__(self, x: Array, labels: Array, W: Array, l2: float) -> None:
        self._x, self._labels, self._l2 = x, labels, l2
        self._weights = np.asarray(W, np.float64).ravel()
        self._images = np.arange(len(x))

    def deltas(self, coordinates: Array, steps: Array) -> Array:
        """Return f(W + h e) - f(W) without cancellation, float64 of shape (n,), for flat places in W, int64 of shape
        (n,), repeated or not, and a step h for each. The bits depend on the other coordinates of the call."""
        classes, features = np.divmod(coordinates, self._x.shape[1])
        distinct, places = np.unique(features, return_inverse=True)
        with np.errstate(over="ignore"):  # what is infinite is recorded as such
            deltas = self._summed_changes(classes, distinct, places, steps) / len(self._x)
            if self._l2:
                deltas += self._l2 * steps * (2 * self._weights[coordinates] + steps)
        return deltas

    @abstractmethod
    def _summed_changes(self, classes: Array, features: Array, places: Array, steps: Array) -> Array:
        """Return changes summed over the images: entry n is a step in feature features[places[n]] of classes[n]."""

    def _columns(self, features: Array) -> Iterator[tuple[slice, Array]]:
        """Yield chunks of images: their rows, and their features as contiguous float64 of shape (images, features)."""
        span = slice(int(features[0]), int(features[-1]) + 1)
        consecutive = span.stop - span.start == len(features)
        for start in range(0, len(self._x), ROWS):
            rows = slice(start, min(start + ROWS, len(self._x)))
            chosen = self._x[rows, span] if consecutive else self._x[rows][:, features]
            yield rows, np.array(chosen, np.float64, order="C")


SMALL, LARGE = (64, 512), (32, 4096)
"""Candidates in a block and images in a chunk, below a thousand features and above; fixed, as BLAS rounding
depends on the shape. Measured fastest, or within 2 % of it, for digits and CIFAR-10; larger blocks take over 2 s."""
DELTAS_FEATURES = 64
"""Features in a call of deltas, each with all classes: measured best of 64, 128 and 256 for CIFAR-10."""
Spans = list[tuple[int, slice]]
"""Classes of the images of a chunk: (label, places within the chunk)."""


class LinearClassifier(ABC):
    """Loss of W, shape (classes, pixels + bias), on the training images.

    Args:
        data: "digits" or "cifar10".
        path: folder of the data, for CIFAR-10.
        l2: strength of the penalty l2 * sum(W ** 2), which includes the bias, as in the original course.
        bias: append a column of ones to the pixels.
        center: subtract the mean training image.
        precision: type of pixels and scores; the loss is accumulated in float64 either way.

    Raises:
        InputError: for unknown or missing data, or an argument out of range.
    """

    screens: ClassVar = ("low_rank", "float32", "bfloat16")
    _around: ClassVar[Callable[[Array, Array, Array, Array, float], LinearAround]]
    """Class of the deltas, made from features, labels, scores, weights and l2."""

    def __init__(
        self,
        data: str = "digits",
        path: str | None = None,
        l2: float = 0.0,
        bias: bool = True,
        center: bool = True,
        precision: Literal["float64", "float32"] = "float64",
    ) -> None:
        if precision not in ("float64", "float32"):
            raise InputError(f"precision was {precision!r}, wanted 'float64' or 'float32'")
        if not 0 <= l2 < np.inf:
            raise InputError(f"l2 was {l2!r}, wanted a finite number of at least 0")
        loaded = images.load(data, path)
        self.l2, self.bias, self.precision = float(l2), bias, precision
        self.classes = len(loaded.names)
        self.mean = loaded.train_pixels.mean(axis=0) if center else np.zeros(loaded.train_pixels.shape[1])
        # Images are sorted by class, so that the scores of the right class are slices and not a gather.
        order = np.argsort(loaded.train_labels, kind="stable")
        self.x = self._features(loaded.train_pixels[order])
        self.labels = loaded.train_labels[order]
        # A copy of no rows: the training pixels are in x already, and a slice would keep them alive a second time.
        self._untrained = replace(loaded, train_pixels=loaded.train_pixels[:0].copy(), train_labels=self.labels[:0])
        self.deltas_block = DELTAS_FEATURES * self.classes
        self.block, self.rows = SMALL if self.x.shape[1] < 1_000 else LARGE
        self._digest = loaded.digest()

    @property
    def tolerance(self) -> float | None:
        """Relative tolerance of float32 scores (of CIFAR-10 they sum 3,073 products); None for that of float64."""
        return 1e-5 if self.precision == "float32" else None

    @property
    def samples(self) -> int:
        """Number of training images."""
        return len(self.x)

    def subset(self, rows: Array) -> Self:
        """Return the loss on some of the training images, by their numbers, in order of class."""
        part, chosen = copy(self), np.sort(rows)
        part.x, part.labels = self.x[chosen], self.labels[chosen]
        return part

    def digest(self) -> str:
        """Return a hash of the images and labels."""
        return self._digest

    def __call__(self, W: Array) -> float:
        return float(self.losses(W[np.newaxis])[0])

    def losses(self, W: Array) -> Array:
        """Return losses of n classifiers, W of shape (n, classes, features); float64 of shape (n,).

        Scores come from one matrix product for each chunk of images. They are laid out as (class, candidate, image), so
        that maximum and sum over classes run along contiguous memory; over a last axis of 10 they would take longer
        than the product.
        """
        self._check_shape(W.shape[1:])
        return self.mean_by_matmul(self.stacked(W, self.x.dtype), self.x, self.rows) + self.penalty(W)

    def mean_by_matmul(self, weights: Array, features: Array, rows: int) -> Array:
        """Return mean losses without the penalty from scores weights features^T, `rows` images at a time."""
        out = np.empty((len(weights), rows), features.dtype)

        def product(start: int, stop: int) -> Array:
            chunk = features[start:stop]
            return np.matmul(weights, chunk.T, out=out if len(chunk) == rows else None)

        return self.mean_of(len(weights) // self.classes, rows, features.dtype, product)

    def mean_of(self, n: int, rows: int, dtype: Any, product: Callable[[int, int], Array]) -> Array:
        """Return mean losses of the images by n classifiers, without the penalty; float64 of shape (n,).

        `product` returns the scores of images start to stop, of this dtype and shape (classes * n, images); they are
        overwritten. It is called for `rows` images at a time.
        """
        total = np.zeros(n)
        losses, right = np.empty((2, n, rows), dtype)
        for start in range(0, len(self.x), rows):
            count = min(rows, len(self.x) - start)
            if count < rows:
                losses, right = np.empty((2, n, count), dtype)
            scores = product(start, start + count).reshape(self.classes, n, count)
            self._image_losses(scores, self._spans(start, count), right, losses)
            total += losses.sum(axis=1, dtype=np.float64)
        return total / len(self.x)

    def stacked(self, W: Array, dtype: Any) -> Array:
        """Return n classifiers as the rows of a matrix, class by class; shape (classes * n, features)."""
        return np.ascontiguousarray(W.transpose(1, 0, 2), dtype=dtype).reshape(self.classes * len(W), -1)

    def penalty(self, W: Array) -> Array:
        """Return l2 sum W^2 of n classifiers, float64 of shape (n,)."""
        if not self.l2:
            return np.zeros(len(W))
        return self.l2 * np.square(W, dtype=np.float64).reshape(len(W), -1).sum(axis=1)

    def screen(self, how: str, device: str = "cpu") -> Any:
        """Return a cheaper surrogate, with its own `losses`, for cpu or cuda: low_rank by principal components of the
        images, float32 or bfloat16 by products in that precision. Raises InputError if it needs PyTorch, which is not
        installed or has no such device."""
        if how == "low_rank":
            if device != "cpu":
                raise InputError("screen = 'low_rank' runs on the CPU; leave device out")
            return LowRank(self)
        if how == "float32" and device == "cpu":
            single = copy(self)
            single.x, single.precision = self.x.astype(np.float32, copy=False), "float32"
            return single
        return ByPyTorch(self, how, device)

    def gradient(self, W: Array) -> Array:
        """Return df/dW = (1/N) slopes^T X + 2 l2 W, with the slopes of the images' losses by their scores; float64."""
        self._check_shape(W.shape)
        total = np.zeros(W.shape)
        weights = np.asarray(W, self.x.dtype)
        for start in range(0, len(self.x), self.rows):
            rows = self.x[start : start + self.rows]
            scores = rows @ weights.T
            self.slopes(scores, self.labels[start : start + self.rows])
            total += scores.T @ rows
        return total / len(self.x) + 2 * self.l2 * np.asarray(W, np.float64)

    def report(self, W: Array) -> dict[str, float]:
        """Return the shares of training and of test images whose highest score is that of the right class."""
        self._check_shape(W.shape)
        weights = np.asarray(W, self.x.dtype)
        train = (self.x @ weights.T).argmax(axis=1) == self.labels
        test = (self._features(self._untrained.test_pixels) @ weights.T).argmax(axis=1) == self._untrained.test_labels
        return {"train_accuracy": float(train.mean()), "test_accuracy": float(test.mean())}

    def how_to_read(self) -> str:
        """Return what loss and accuracy mean to somebody who sees them for the first time."""
        return (
            f"With all weights 0 the loss is {self._blind_loss():.4g}: that is guessing, which among {self.classes} "
            f"classes is right for about {100 / self.classes:.3g} % of the images. The smallest loss is not "
            "the highest accuracy: accuracy only counts whether the right class has the highest score, the loss also "
            "by how much. So another candidate with a larger loss may well be right more often."
        )

    def order(self) -> Array:
        """Return the best order of coordinates: flat places in W, int64 of shape (classes * features,). Features are
        slowest, classes fastest: a step of one feature moves the scores of all classes by the same amounts."""
        return np.arange(self.classes * self.x.shape[1], dtype=np.int64).reshape(self.classes, -1).T.ravel()

    def images(self, W: Array) -> dict[str, Array]:
        """Return the rows of W, or of its gradient, as pictures by name of the class, and the biases as one row."""
        self._check_shape(W.shape)
        weights, pixels = np.asarray(W, np.float64), len(self.mean)
        biases = {"bias": weights[:, pixels:].T} if self.bias else {}
        return {**self._untrained.pictures(weights[:, :pixels]), **biases}

    def around(self, W: Array) -> LinearAround:
        """Prepare the loss around W, for its `deltas`; float64 throughout, whatever the precision of the features."""
        self._check_shape(W.shape)
        weights = np.asarray(W, np.float64)
        chunks = range(0, len(self.x), self.rows)
        scores = np.concatenate([self.x[start : start + self.rows].astype(np.float64) @ weights.T for start in chunks])
        return type(self)._around(self.x, self.labels, scores, weights, self.l2)

    @abstractmethod
    def _image_losses(self, scores: Array, spans: Spans, right: Array, out: Array) -> None:
        """Write the losses of a chunk's images, without the penalty, to `out` of shape (n, images). Scores, of shape
        (classes, n, images), are overwritten; `right` is scratch of the shape of `out`."""

    @abstractmethod
    def _blind_loss(self) -> float:
        """Return the loss of an image if all scores are equal."""

    @abstractmethod
    def slopes(self, scores: Array, labels: Array) -> None:
        """Turn scores, of shape (images, classes), into the slopes of the images' losses by them, in place."""

    def _features(self, pixels: Array) -> Array:
        features = np.ones((len(pixels), pixels.shape[1] + self.bias), self.precision)
        np.subtract(pixels, self.mean, out=features[:, : pixels.shape[1]], casting="same_kind")
        return features

    def _spans(self, start: int, count: int) -> Spans:
        labels = self.labels[start : start + count]
        edges = np.searchsorted(labels, np.arange(self.classes + 1))
        return [(c, slice(int(edges[c]), int(edges[c + 1]))) for c in range(self.classes) if edges[c] < edges[c + 1]]

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        wanted = (self.classes, self.x.shape[1])
        if shape != wanted:
            column = " and a column of ones" if self.bias else ""
            raise ValueError(
                f"W has shape {shape}, wanted {wanted}: {wanted[0]} classes, {len(self.mean):,} pixels{column}"
            )
