"""Softmax cross-entropy of a linear classifier of images, and its change by a step in one weight without cancellation.

    f(W) = (1/N) sum_i [log sum_c exp(s_ic) - s_(i, y_i)] + l2 sum W^2,    s = X W^T

(Stanford CS231n, "Linear classification": the loss of the random search that this project started from.)

By a step h in W_cj the loss of image i changes by log(q + p e^t) - [y_i = c] t, with p the probability of class c, q
that of all others and t = h x_ij. As a function of t the logarithm is the cumulant generating function of a coin that
shows heads with probability p, so

    log(q + p e^t) = sum_m k_m t^m / m!,    k_1 = p,  k_(m+1) = p q dk_m/dp

(M. Kendall, A. Stuart, "The Advanced Theory of Statistics", vol. 1, section 5.2), and the sum over images is a matrix
product of k_m with the m-th powers of x: a few products for all classes and many features at once, and no exponential.
For images of class c the first cumulant less [y_i = c] is -q, computed as such. The series is used where the known
terms suffice to leave a rest below the rounding of the first; longer steps take the logarithm itself, image by image,
from log p and log q: p and q underflow where scores are 745 apart, and a long step brings such a class back.
"""

import math
from functools import cache, cached_property

import numpy as np
from numpy.polynomial import polynomial

from optitrip.core.arrays import Array
from optitrip.objectives.linear.classifier import LinearAround, LinearClassifier, Spans

LONGEST = 14
"""Most terms of the series; enough for |t| up to about 0.2."""


@cache
def ratios() -> tuple[tuple[Array, float], ...]:
    """Return for m = 2, 3, ... the ratio k_m / (p q) as a polynomial of p, lowest power first, and its largest
    magnitude on [0, 1]."""
    grid, bounded = np.linspace(0, 1, 1_001), list[tuple[Array, float]]()
    ratio = np.ones(1)
    for _ in range(2, LONGEST + 3):
        bounded.append((ratio, float(np.abs(polynomial.polyval(grid, ratio)).max())))
        derived = polynomial.polyder(ratio)
        first = polynomial.polymul([1.0, -2.0], ratio)
        ratio = polynomial.polyadd(first, polynomial.polymul([0.0, 1.0, -1.0], derived))
    return tuple(bounded)


def terms_needed(reach: float) -> int | None:
    """Return how many terms of the series |t| up to `reach` needs: the rest is below the rounding of the first term.

    Relative to the first, p |t| or q |t|, term m is at most max |k_m / (p q)| |t|^(m - 1) / m!. None if `LONGEST` terms
    are not enough.
    """
    if not reach < 1:  # also keeps the powers from overflowing
        return None
    for count in range(1, LONGEST + 1):
        rest = [bound * reach ** (m - 1) / math.factorial(m) for m, (_, bound) in enumerate(ratios(), 2) if m > count]
        if sum(rest) + rest[-1] <= 2.0**-54:
            return count
    return None


class SoftmaxAround(LinearAround):
    """Softmax cross-entropy around one W; arguments of `LinearAround`, and scores x W^T in float64 (overwritten)."""

    def __init__(self, x: Array, labels: Array, scores: Array, W: Array, l2: float) -> None:
        super().__init__(x, labels, W, l2)
        scores -= scores.max(axis=1, keepdims=True)
        self._scores, weights = scores, np.exp(scores)
        total = weights.sum(axis=1)
        # Not 1 - p, which has no digits where p is nearly 1.
        others = [np.delete(weights, c, axis=1).sum(axis=1) / total for c in range(scores.shape[1])]
        self._p, self._q = weights / total[:, np.newaxis], np.stack(others, axis=1)
        self._reach = np.maximum(x.max(axis=0), -x.min(axis=0)).astype(np.float64)
        self._cumulants: dict[int, Array] = {}

    @cached_property
    def _logarithms(self) -> tuple[Array, Array]:
        """Logarithms of p and q of every image and class, of shape (images, classes)."""
        top = self._scores.argmax(axis=1)[:, np.newaxis]
        behind = self._scores.copy()
        np.put_along_axis(behind, top, -np.inf, axis=1)
        second = behind.max(axis=1, keepdims=True)
        # The total is 1, the highest score's share, and the rest.
        log_total = np.log1p(np.exp(behind).sum(axis=1, keepdims=True))
        log_rest = second + np.log(np.exp(behind - second).sum(axis=1, keepdims=True))
        log_q = np.log1p(-np.minimum(self._p, 0.5))
        likely = self._p > 0.5  # which only the highest score can be
        log_q[likely] = np.broadcast_to(log_rest - log_total, log_q.shape)[likely]
        return self._scores - log_total, log_q

    def _cumulant(self, m: int) -> Array:
        """Return k_m of every image and class, less 1 for m = 1 and the right class; shape (images, classes)."""
        if m not in self._cumulants:
            if m == 1:
                cumulant = self._p.copy()
                cumulant[self._images, self._labels] = -self._q[self._images, self._labels]
            else:
                cumulant = self._p * self._q * polynomial.polyval(self._p, ratios()[m - 2][0])
            self._cumulants[m] = cumulant
        return self._cumulants[m]

    def _summed_changes(self, classes: Array, features: Array, places: Array, steps: Array) -> Array:
        longest = np.zeros(len(features))
        np.maximum.at(longest, places, np.abs(steps))
        reach = self._reach[features]
        count = terms_needed(float((longest * reach).max()))
        if count is None:
            return self._exact_changes(classes, features, places, steps)
        moments = np.zeros((count, self._p.shape[1], len(features)))
        for rows, x in self._columns(features):
            power = x
            for m in range(1, count + 1):
                if m > 1:
                    power = power * x if m == 2 else np.multiply(power, x, out=power)
                moments[m - 1] += self._cumulant(m)[rows].T @ power
        # A feature that is 0 in every image may have a step whose powers overflow.
        steps = np.where(reach[places] > 0, steps, 0)
        total, factor = np.zeros(len(steps)), np.ones(len(steps))
        for m in range(1, count + 1):
            factor *= steps / m
            total += factor * moments[m - 1][classes, places]
        return total

    def _exact_changes(self, classes: Array, features: Array, places: Array, steps: Array) -> Array:
        total, (log_p, log_q) = np.zeros(len(steps)), self._logarithms
        for rows, x in self._columns(features):
            right = self._labels[rows, np.newaxis] == classes
            t = x[:, places] * steps
            total += changes(log_p[rows][:, classes], log_q[rows][:, classes], t, right).sum(axis=0)
        return total


def changes(log_p: Array, log_q: Array, t: Array, right: Array) -> Array:
    """Return log(q + p e^t) - [right] t, elementwise, from the logarithms of p and q = 1 - p.

    For the right class this is log(p + q e^-t): p and q exchange places, and t changes its sign. Its relative error is
    a few roundings of log p and log q, for all doubles: what rounding the scores leaves.
    """
    log_p, log_q, t = np.where(right, log_q, log_p), np.where(right, log_p, log_q), np.where(right, -t, t)
    # p (e^t - 1), which keeps its digits near 0. Above 1 it is not used, and only must not overflow.
    rise = np.exp(np.minimum(log_p + np.maximum(t, 0), 1)) * np.copysign(np.expm1(-np.abs(t)), t)
    return np.where(np.abs(rise) <= 0.5, np.log1p(np.maximum(rise, -0.5)), np.logaddexp(log_q, log_p + t))


class Softmax(LinearClassifier):
    """Cross-entropy of W, shape (classes, pixels + bias), on the training images; arguments of `LinearClassifier`.

    Its gradient is (1/N) (p - onehot(y))^T X + 2 l2 W, with p the softmax of the scores.
    """

    _around = SoftmaxAround

    def _image_losses(self, scores: Array, spans: Spans, right: Array, out: Array) -> None:
        scores -= np.maximum.reduce(scores, axis=0, out=out)
        for label, span in spans:
            right[:, span] = scores[label, :, span]
        np.exp(scores, out=scores)
        np.log(np.add.reduce(scores, axis=0, out=out), out=out)
        out -= right

    def _blind_loss(self) -> float:
        return math.log(self.classes)

    def slopes(self, scores: Array, labels: Array) -> None:
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        images = np.arange(len(scores))
        right = scores[images, labels]
        scores[images, labels] = 0
        # p - 1 has no digits where p is nearly 1.
        scores[images, labels] = np.where(right < 0.5, right - 1, -scores.sum(axis=1))
