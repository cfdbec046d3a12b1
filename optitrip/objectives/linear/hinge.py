"""Multiclass hinge loss (support vector machine) of a linear classifier of images, and its change by a step in one
weight without cancellation.

    f(W) = (1/N) sum_i sum_(c != y_i) max(0, s_ic - s_(i, y_i) + 1) + l2 sum W^2,    s = X W^T

J. Weston, C. Watkins, "Multi-class support vector machines", 1998, with margin 1 as in Stanford CS231n, "Linear
classification". (Their own margin is 2, which is the same but for a scale: without l2, f_2(2 W) = 2 f_1(W).)

With the margins m_ik = s_ik - s_(i, y_i) + 1 of the wrong classes k, a step in class k changes a margin of k by
t = h x_ij, and a step in the right class changes all margins of the image by -t. For nearly all images a positive
margin stays positive, and one that is not stays so: those change the loss by t or by nothing, and are one matrix
product. Only margins within reach of their kink are computed one by one, by

    max(0, m + t) - max(0, m) = max(t, -m) if m > 0 else max(0, m + t)
"""

from collections.abc import Iterator

import numpy as np

from optitrip.core.arrays import Array
from optitrip.objectives.linear.classifier import LinearAround, LinearClassifier, Spans


class HingeAround(LinearAround):
    """The hinge loss around one W; arguments of `LinearAround`, and scores x W^T in float64 (overwritten)."""

    def __init__(self, x: Array, labels: Array, scores: Array, W: Array, l2: float) -> None:
        super().__init__(x, labels, W, l2)
        scores -= (scores[self._images, labels] - 1)[:, np.newaxis]
        scores[self._images, labels] = -np.inf  # the right class has no margin, and no step reaches its kink
        self._margins = scores
        self._slopes = (scores > 0).astype(np.float64)
        self._slopes[self._images, labels] = -self._slopes.sum(axis=1)
        self._reach = np.maximum(x.max(axis=1), -x.min(axis=1)).astype(np.float64)

    def _summed_changes(self, classes: Array, features: Array, places: Array, steps: Array) -> Array:
        far = self._slopes
        # Many margins are within reach of a step that is longer than 1, and t - t, added and taken away, would cost the
        # digits of their changes, or be NaN.
        apart = bool((np.abs(steps).max() * self._reach > 1).any())
        if apart:
            far = ((self._margins > 0) & ~self._within_reach(steps)).astype(np.float64)
            far[self._images, self._labels] = -far.sum(axis=1)
        slopes = np.zeros((far.shape[1], len(features)))
        for rows, x in self._columns(features):
            slopes += far[rows].T @ x
        total = steps * slopes[classes, places]
        for entries, margins, t in self._near(classes, features[places], steps):
            exact = np.where(margins > 0, np.maximum(t, -margins), np.maximum(0, margins + t))
            total[entries] += (exact if apart else exact - np.where(margins > 0, t, 0)).sum(axis=0)
        return total

    def kinks(self, coordinates: Array, steps: Array) -> Array:
        """Count the margins that change their sign on the way from W to W + h e, int64 of shape (n,)."""
        classes, features = np.divmod(coordinates, self._x.shape[1])
        crossed = np.zeros(len(coordinates), np.int64)
        for entries, margins, t in self._near(classes, features, steps):
            crossed[entries] += ((margins > 0) != (margins + t > 0)).sum(axis=0)
        return crossed

    def _within_reach(self, steps: Array) -> Array:
        """Return which margins the longest of the steps may bring to 0; bool of shape (images, classes)."""
        longest = np.abs(steps).max() * self._reach
        return np.abs(self._margins) <= np.minimum(longest, np.finfo(float).max)[:, np.newaxis]

    def _near(self, classes: Array, features: Array, steps: Array) -> Iterator[tuple[Array, Array, Array]]:
        """Yield the margins within reach of a step, class by class: the entries of the class, the margins as a column,
        and how far each entry moves each margin."""
        images, wrong = np.nonzero(self._within_reach(steps))
        for c in np.unique(classes):
            entries = np.flatnonzero(classes == c)
            for moved, sign in ((wrong == c, 1), (self._labels[images] == c, -1)):
                rows = images[moved]
                t = sign * steps[entries] * np.asarray(self._x[rows][:, features[entries]], np.float64)
                yield entries, self._margins[rows, wrong[moved]][:, np.newaxis], t


class Hinge(LinearClassifier):
    """Hinge loss of W, shape (classes, pixels + bias), on the training images; arguments of `LinearClassifier`.

    Its gradient is (1/N) A^T X + 2 l2 W, where A_ic is 1 for every wrong class c with a positive
    s_ic - s_(i, y_i) + 1, else 0, and A_(i, y_i) is minus their number. A margin of exactly 0, a
    kink, counts as not positive: one of the subgradients.
    """

    _around = HingeAround

    def _image_losses(self, scores: Array, spans: Spans, right: Array, out: Array) -> None:
        for label, span in spans:
            right[:, span] = scores[label, :, span]
        # Subtracting (right - 1) saves a pass over all scores that adding 1 would take.
        right -= 1
        scores -= right
        np.maximum(scores, 0, out=scores)
        # Not 1 less for each image after the sum, which would cost a small loss its digits.
        for label, span in spans:
            scores[label, :, span] = 0
        np.add.reduce(scores, axis=0, out=out)

    def _blind_loss(self) -> float:
        return self.classes - 1.0

    def slopes(self, scores: Array, labels: Array) -> None:
        images = np.arange(len(scores))
        scores -= (scores[images, labels] - 1)[:, np.newaxis]
        np.greater(scores, 0, out=scores)
        scores[images, labels] = 0
        scores[images, labels] = -scores.sum(axis=1)
