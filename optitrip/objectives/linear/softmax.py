"""Softmax cross-entropy of a linear classifier of images.

    f(W) = (1/N) sum_i [log sum_c exp(s_ic) - s_(i, y_i)] + l2 sum W^2,    s = X W^T

(Stanford CS231n, "Linear classification": the loss of the random search that this project started from.)
"""

from __future__ import annotations

import numpy as np

from optitrip.core.arrays import Array
from optitrip.objectives.linear.classifier import LinearClassifier, Spans
from optitrip.objectives.linear.softmax_deltas import SoftmaxAround


class Softmax(LinearClassifier):
    """Cross-entropy of W, shape (classes, pixels + bias), on the training images; arguments of `LinearClassifier`.

    Its gradient is (1/N) (p - onehot(y))^T X + 2 l2 W, with p the softmax of the scores.
    """

    _around = SoftmaxAround

    def _each(self, scores: Array, spans: Spans, right: Array, out: Array) -> None:
        scores -= np.maximum.reduce(scores, axis=0, out=out)
        for label, span in spans:
            right[:, span] = scores[label, :, span]
        np.exp(scores, out=scores)
        np.log(np.add.reduce(scores, axis=0, out=out), out=out)
        out -= right

    def slopes(self, scores: Array, labels: Array) -> None:
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        scores[np.arange(len(scores)), labels] -= 1
