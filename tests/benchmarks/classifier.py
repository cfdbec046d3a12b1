"""A linear classifier's losses as a course writes them, in NumPy, one set of weights at a time; and their images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optitrip.objectives.data import images
from rounds import SEED

Array = NDArray[Any]
Loss = Callable[[Array, Array, Array], float]
"""A loss of weights, features and labels."""


@dataclass(frozen=True)
class Images:
    """Which images: those of CIFAR-10 in a folder, or the digits that come with optitrip."""

    cifar: str | None

    @property
    def name(self) -> str:
        return "CIFAR-10" if self.cifar else "digits"

    @property
    def spread(self) -> float:
        """Standard deviation of the weights that are drawn, as in the sweep files."""
        return 1e-4 if self.cifar else 0.03

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the weights: classes, pixels and bias."""
        return (10, 3073) if self.cifar else (10, 65)

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]

    def arguments(self, precision: str) -> dict[str, Any]:
        """Return the arguments with which optitrip's own losses take the same images."""
        named = {"data": "cifar10", "path": self.cifar} if self.cifar else {"data": "digits"}
        return {**named, "precision": precision}


@cache
def features_and_labels(which: Images, precision: str) -> tuple[Array, Array]:
    """Centred pixels and a column of ones, shape (images, pixels + 1); labels, shape (images,). Once a process."""
    loaded = images.load("cifar10" if which.cifar else "digits", which.cifar)
    X = np.ones((len(loaded.train_pixels), which.shape[1]), precision)
    np.subtract(loaded.train_pixels, loaded.train_pixels.mean(axis=0), out=X[:, :-1], casting="same_kind")
    return X, loaded.train_labels


def softmax(W: Array, X: Array, y: Array) -> float:
    """Mean cross-entropy, in the precision of X."""
    scores = X @ W.T.astype(X.dtype)
    scores -= scores.max(axis=1, keepdims=True)
    right = scores[np.arange(len(y)), y]
    return float(np.mean(np.log(np.exp(scores).sum(axis=1)) - right))


def hinge(W: Array, X: Array, y: Array) -> float:
    """Mean multiclass hinge loss with margin 1, in the precision of X."""
    scores = X @ W.T.astype(X.dtype)
    images = np.arange(len(y))
    margins = np.maximum(0, scores - scores[images, y][:, np.newaxis] + 1)
    margins[images, y] = 0
    return float(margins.sum() / len(y))


def drawn(which: Images, number: int) -> Array:
    """The weights of a candidate, from its number: cheaper than to send them to a worker."""
    return np.random.default_rng((SEED, number)).standard_normal(which.shape) * which.spread
