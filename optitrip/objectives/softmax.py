"""Softmax cross-entropy of a linear classifier of images.

    f(W) = (1/N) sum_i [log sum_c exp(s_ic) - s_(i, y_i)] + l2 sum W^2,    s = X W^T

(Stanford CS231n, "Linear classification": the loss of the random search that this project started from.)
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from optitrip.errors import InputError
from optitrip.objectives import images
from optitrip.part import Array

SMALL, LARGE = (64, 512), (32, 4096)
"""Candidates a block and images a chunk, below and from a thousand features on: fixed, because BLAS rounds by shape.
Measured best, or within 2 % of it, for digits and CIFAR-10, where larger blocks would take longer than two seconds."""


class Softmax:
    """Loss of W, shape (classes, pixels + bias), on the training images.

    Args:
        data: "digits" or "cifar10".
        path: folder of the data, for CIFAR-10.
        l2: strength of the penalty l2 * sum(W ** 2), which takes in the bias as the original course does.
        bias: append a column of ones to the pixels.
        center: subtract the mean training image.
        precision: of pixels and scores; the loss is accumulated in float64 either way.

    Raises:
        InputError: for unknown or missing data, or an argument out of range.
    """

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
        self.classes = loaded.classes
        self.mean = loaded.train_pixels.mean(axis=0) if center else np.zeros(loaded.train_pixels.shape[1])
        # Images of a class stand together, so that the scores of the right class are slices and not a gather.
        order = np.argsort(loaded.train_labels, kind="stable")
        self.x = self._features(loaded.train_pixels[order])
        self.labels = loaded.train_labels[order]
        self.test_pixels, self.test_labels = loaded.test_pixels, loaded.test_labels
        self.block, self._rows = SMALL if self.x.shape[1] < 1_000 else LARGE
        self._digest = loaded.digest()

    @property
    def tolerance(self) -> float | None:
        """Relative, for float32 scores; a score of CIFAR-10 is a sum of 3,073 products. None: that of float64."""
        return 1e-5 if self.precision == "float32" else None

    def digest(self) -> str:
        """A hash of the images and labels."""
        return self._digest

    def __call__(self, W: Array) -> float:
        return float(self.losses(W[np.newaxis])[0])

    def losses(self, W: Array) -> Array:
        """Losses of n classifiers, W of shape (n, classes, features); one matrix product a chunk of images.

        Scores are laid out as (class, candidate, image), so that maximum and sum over classes run along contiguous
        memory; over a last axis of 10 they would take longer than the product.
        """
        self._check_shape(W.shape[1:])
        n = len(W)
        weights = np.ascontiguousarray(W.transpose(1, 0, 2), dtype=self.x.dtype).reshape(self.classes * n, -1)
        total = np.zeros(n)
        product = np.empty((self.classes * n, self._rows), self.x.dtype)
        scratch, right = np.empty((2, n, self._rows), self.x.dtype)
        for start in range(0, len(self.x), self._rows):
            rows = self.x[start : start + self._rows]
            if len(rows) < self._rows:
                product, scratch, right = (np.empty((len(a), len(rows)), a.dtype) for a in (product, scratch, right))
            scores = np.matmul(weights, rows.T, out=product).reshape(self.classes, n, len(rows))
            scores -= np.maximum.reduce(scores, axis=0, out=scratch)
            for label, span in self._spans(start, len(rows)):
                right[:, span] = scores[label, :, span]
            np.exp(scores, out=scores)
            np.log(np.add.reduce(scores, axis=0, out=scratch), out=scratch)
            scratch -= right
            total += scratch.sum(axis=1, dtype=np.float64)
        losses = total / len(self.x)
        if self.l2:
            losses += self.l2 * np.square(W, dtype=np.float64).reshape(n, -1).sum(axis=1)
        return losses

    def gradient(self, W: Array) -> Array:
        """df/dW = (1/N) (p - onehot(y))^T X + 2 l2 W, with p the softmax of the scores; shape of W, float64."""
        self._check_shape(W.shape)
        total = np.zeros(W.shape)
        weights = np.asarray(W, self.x.dtype)
        for start in range(0, len(self.x), self._rows):
            rows = self.x[start : start + self._rows]
            scores = rows @ weights.T
            scores -= scores.max(axis=1, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=1, keepdims=True)
            scores[np.arange(len(rows)), self.labels[start : start + self._rows]] -= 1
            total += scores.T @ rows
        return total / len(self.x) + 2 * self.l2 * np.asarray(W, np.float64)

    def report(self, W: Array) -> dict[str, float]:
        """Share of training and of test images whose highest score is that of the right class."""
        self._check_shape(W.shape)
        weights = np.asarray(W, self.x.dtype)
        train = (self.x @ weights.T).argmax(axis=1) == self.labels
        test = (self._features(self.test_pixels) @ weights.T).argmax(axis=1) == self.test_labels
        return {"train_accuracy": float(train.mean()), "test_accuracy": float(test.mean())}

    def _features(self, pixels: Array) -> Array:
        features = np.ones((len(pixels), pixels.shape[1] + self.bias), self.precision)
        np.subtract(pixels, self.mean, out=features[:, : pixels.shape[1]], casting="same_kind")
        return features

    def _spans(self, start: int, count: int) -> list[tuple[int, slice]]:
        """Which of the images from `start` on are of which class: (label, places within the chunk)."""
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
