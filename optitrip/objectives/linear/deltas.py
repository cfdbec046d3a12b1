"""Changes of a linear classifier's loss by a step in one weight: what all losses share.

A step h in W_cj moves the score of class c by t_i = h x_ij for every image i, and no other score. So the changes of all
classes share the computations on one column of pixels, and none needs the 10 x 3,073 products of a complete loss.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from optitrip.core.arrays import Array

ROWS = 4096
"""Images a chunk: fixed, because BLAS rounds by shape."""


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
