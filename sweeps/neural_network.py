"""A network of two layers on handwritten digits, whose loss takes many candidates at once."""

from typing import Any

import numpy as np

from optitrip.objectives.data import images

Array = np.ndarray[Any, Any]
HIDDEN = 8
"""Number of hidden units; the sweep file has the shapes."""


class Network:
    """Cross-entropy of softmax(tanh(x U + a) V + b) on the training images."""

    def __init__(self) -> None:
        digits = images.load("digits", None)
        scale = 16.0  # pixels are from 0 to 16
        self.x, self.y = digits.train_pixels / scale, digits.train_labels
        self.test_x, self.test_y = digits.test_pixels / scale, digits.test_labels

    def __call__(self, U: Array, a: Array, V: Array, b: Array) -> float:
        return float(self.losses(U[np.newaxis], a[np.newaxis], V[np.newaxis], b[np.newaxis])[0])

    def losses(self, U: Array, a: Array, V: Array, b: Array) -> Array:
        """Return the losses of n networks; each array has a leading axis n."""
        scores = self.scores(self.x, U, a, V, b)
        scores -= scores.max(axis=2, keepdims=True)
        right = scores[:, np.arange(len(self.y)), self.y]
        return (np.log(np.exp(scores).sum(axis=2)) - right).mean(axis=1)

    def scores(self, x: Array, U: Array, a: Array, V: Array, b: Array) -> Array:
        """Return the scores of all classes, of shape (n, images, classes)."""
        return np.tanh(x @ U + a[:, np.newaxis]) @ V + b[:, np.newaxis]

    def report(self, U: Array, a: Array, V: Array, b: Array) -> dict[str, float]:
        """Return the share of images that are recognised."""
        one = [part[np.newaxis] for part in (U, a, V, b)]
        sets = {"test_accuracy": (self.test_x, self.test_y), "train_accuracy": (self.x, self.y)}
        return {name: float((self.scores(x, *one)[0].argmax(axis=1) == y).mean()) for name, (x, y) in sets.items()}
