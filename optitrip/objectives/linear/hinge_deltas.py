"""How the multiclass hinge loss changes by a step in one weight, without cancellation.

With the margins m_ik = s_ik - s_(i, y_i) + 1 of the wrong classes k, a step in class k changes a margin of k by
t = h x_ij, and a step in the right class changes all margins of the image by -t. A positive margin stays positive, and
one that is not stays so, for nearly all images: those change the loss by t or by nothing, and are one matrix product.
Only margins within reach of their kink are taken one by one, by

    max(0, m + t) - max(0, m) = max(t, -m) if m > 0 else max(0, m + t)
"""

from __future__ import annotations

import numpy as np

from optitrip.core.arrays import Array
from optitrip.objectives.linear.deltas import LinearAround


class HingeAround(LinearAround):
    """The hinge loss around one W; arguments of `LinearAround`, and scores x W^T in float64, used up."""

    def __init__(self, x: Array, labels: Array, scores: Array, W: Array, l2: float) -> None:
        super().__init__(x, labels, W, l2)
        scores -= (scores[self._images, labels] - 1)[:, np.newaxis]
        scores[self._images, labels] = -np.inf  # the right class has no margin, and no step reaches its kink
        self._margins = scores
        self._slopes = (scores > 0).astype(np.float64)
        self._slopes[self._images, labels] = -self._slopes.sum(axis=1)
        self._reach = np.maximum(x.max(axis=1), -x.min(axis=1)).astype(np.float64)

    def _sums(self, classes: Array, features: Array, places: Array, steps: Array) -> Array:
        slopes = np.zeros((self._margins.shape[1], len(features)))
        for rows, x in self._columns(features):
            slopes += self._slopes[rows].T @ x
        total = steps * slopes[classes, places]
        for entries, margins, t in self._near(classes, features[places], steps):
            exact = np.where(margins > 0, np.maximum(t, -margins), np.maximum(0, margins + t))
            total[entries] += (exact - np.where(margins > 0, t, 0)).sum(axis=0)
        return total

    def kinks(self, coordinates: Array, steps: Array) -> Array:
        """How many margins change their sign on the way from W to W + h e, int64 of shape (n,)."""
        classes, features = np.divmod(coordinates, self._x.shape[1])
        crossed = np.zeros(len(coordinates), np.int64)
        for entries, margins, t in self._near(classes, features, steps):
            crossed[entries] += ((margins > 0) != (margins + t > 0)).sum(axis=0)
        return crossed

    def _near(self, classes: Array, features: Array, steps: Array) -> list[tuple[Array, Array, Array]]:
        """Margins within reach of a step, class by class: the entries of the class, the margins as a column, and by how
        much each entry moves each of them."""
        longest = float(np.abs(steps).max())
        images, wrong = np.nonzero(np.abs(self._margins) <= longest * self._reach[:, np.newaxis])
        found: list[tuple[Array, Array, Array]] = []
        for c in np.unique(classes):
            entries = np.flatnonzero(classes == c)
            for mine, sign in ((wrong == c, 1), (self._labels[images] == c, -1)):
                rows = images[mine]
                t = sign * steps[entries] * np.asarray(self._x[rows][:, features[entries]], np.float64)
                found.append((entries, self._margins[rows, wrong[mine]][:, np.newaxis], t))
        return found
