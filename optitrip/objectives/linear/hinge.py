"""Multiclass hinge loss (support vector machine) of a linear classifier of images.

    f(W) = (1/N) sum_i sum_(c != y_i) max(0, s_ic - s_(i, y_i) + 1) + l2 sum W^2,    s = X W^T

J. Weston, C. Watkins, "Multi-class support vector machines", 1998, with margin 1 as in Stanford CS231n, "Linear
classification". (Their own margin is 2, which is the same but for a scale: without l2, f_2(2 W) = 2 f_1(W).)
"""

from __future__ import annotations

import numpy as np

from optitrip.core.arrays import Array
from optitrip.objectives.linear.classifier import LinearClassifier, Spans
from optitrip.objectives.linear.hinge_deltas import HingeAround


class Hinge(LinearClassifier):
    """Hinge loss of W, shape (classes, pixels + bias), on the training images; arguments of `LinearClassifier`.

    Its gradient is (1/N) A^T X + 2 l2 W, where A_ic is 1 for every wrong class c with a positive
    s_ic - s_(i, y_i) + 1, else 0, and A_(i, y_i) is minus their number. At a kink, where that is exactly 0, it counts
    as not positive: one of the subgradients.
    """

    _around = HingeAround

    def _each(self, scores: Array, spans: Spans, right: Array, out: Array) -> None:
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

    def slopes(self, scores: Array, labels: Array) -> None:
        images = np.arange(len(scores))
        scores -= (scores[images, labels] - 1)[:, np.newaxis]
        np.greater(scores, 0, out=scores)
        scores[images, labels] = 0
        scores[images, labels] = -scores.sum(axis=1)
