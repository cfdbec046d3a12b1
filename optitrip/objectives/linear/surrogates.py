"""Cheaper surrogates for the loss of a linear classifier, to find out which candidates deserve the full loss.

A surrogate offers `losses(W)` alone. It computes the scores in another way, and the classifier turns them into losses.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.errors import InputError

if TYPE_CHECKING:
    from optitrip.objectives.linear.classifier import LinearClassifier

RANK, SPARE, ROUNDS = 96, 16, 3
"""Number of directions (with CIFAR-10, fewer are no faster, more not needed), of spare ones that are iterated
beside them, and of rounds."""
SAMPLED = 10_000
"""Number of images that the directions are computed from."""
LOW_RANK_ROWS = 1_024
"""Number of images in a chunk: their scores fit the cache, since the product no longer needs long rows."""


class LowRank:
    """Surrogate by the principal components of the images, with a first-order term for the rest.

    With X = U P^T + R, P of `RANK` orthonormal columns,

        f(W) ~ f_U(W P) + <G, W>,   G = df/dW at W = 0 of the scores R W^T,

    so that a product with 3,073 features becomes one with 96. The neglected part is of second order in R W^T: for the
    small weights of a random search nearly the same for every candidate.

    P is found by subspace iteration (N. Halko, P.-G. Martinsson, J. A. Tropp, "Finding structure with randomness",
    SIAM Review 53, 2011, algorithm 4.4), started from images in place of random numbers.
    """

    def __init__(self, classifier: LinearClassifier) -> None:
        self._classifier, x = classifier, classifier.x
        self._basis = principal_directions(x)
        self._reduced = np.concatenate([chunk.astype(np.float32) @ self._basis for chunk in chunks(x)])
        slopes = np.zeros((len(x), classifier.classes), np.float32)
        classifier.slopes(slopes, classifier.labels)
        self._linear = np.zeros((classifier.classes, x.shape[1]))
        for slope, chunk, reduced in zip(chunks(slopes), chunks(x), chunks(self._reduced), strict=True):
            self._linear += slope.T @ chunk - (slope.T @ reduced) @ self._basis.T
        self._linear /= len(x)

    def losses(self, W: Array) -> Array:
        """Return losses of n classifiers, W of shape (n, classes, features); float64 of shape (n,)."""
        weights = self._classifier.stacked(W, np.float32) @ self._basis
        losses = self._classifier.mean_by_matmul(weights, self._reduced, LOW_RANK_ROWS)
        rest = np.asarray(W, np.float64).reshape(len(W), -1) @ self._linear.ravel()
        return losses + rest + self._classifier.penalty(W)


class ByPyTorch:
    """Surrogate by PyTorch in bfloat16 or float32 (`how`), on cpu or cuda (`device`). Raises InputError if PyTorch is
    not installed, or has no such device."""

    def __init__(self, classifier: LinearClassifier, how: str, device: str) -> None:
        torch = import_pytorch(how, device)
        self._classifier, self._how, self._device = classifier, how, device
        tensors = [torch.from_numpy(chunk.astype(np.float32)).to(getattr(torch, how)) for chunk in chunks(classifier.x)]
        # NumPy has no bfloat16, and only NumPy's arrays are shared by the workers of a node: it travels as integers.
        self._features: Array = torch.cat(tensors).view(torch.int16 if how == "bfloat16" else torch.float32).numpy()
        self._tensor: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_tensor": None}

    def losses(self, W: Array) -> Array:
        """Return losses of n classifiers, W of shape (n, classes, features); float64 of shape (n,)."""
        torch = import_pytorch(self._how, self._device)
        precision = getattr(torch, self._how)
        if self._tensor is None:
            with warnings.catch_warnings():  # the array is read-only on purpose
                warnings.simplefilter("ignore", UserWarning)
                self._tensor = torch.from_numpy(self._features).view(precision).to(self._device)
        weights = torch.from_numpy(self._classifier.stacked(W, np.float32)).to(self._device, precision)

        def product(start: int, stop: int) -> Array:
            return (weights @ self._tensor[start:stop].T).float().cpu().numpy()

        # One thread a slot: the executors limit BLAS before PyTorch is imported.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            losses = self._classifier.mean_of(len(W), self._classifier.rows, np.float32, product)
        finally:
            torch.set_num_threads(threads)
        return losses + self._classifier.penalty(W)


def import_pytorch(how: str, device: str) -> Any:
    """Return PyTorch; raises InputError if it is not installed, or has no such device."""
    try:
        torch = import_module("torch")  # not a statement: type checkers would want it installed
    except ImportError as error:
        raise InputError(
            f"screen = {how!r} on {device} needs PyTorch, which cannot be imported ({error}): install optitrip[torch]; "
            "screen = 'float32' and 'low_rank' on the CPU do not need it"
        ) from None
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device = 'cuda': PyTorch finds no GPU here; leave it out, or run where there is one")
    return torch


def chunks(rows: Array) -> Iterator[Array]:
    """Yield a few thousand rows at a time: a converted copy of all pixels would take as much memory again."""
    return (rows[start : start + 4_096] for start in range(0, len(rows), 4_096))


def principal_directions(x: Array) -> Array:
    """Return the `RANK` directions in which the rows of x vary most about 0, float32 of shape (features, rank)."""
    sample = x[:: -(-len(x) // SAMPLED)].astype(np.float32)
    count = min(RANK + SPARE, *sample.shape)
    basis = orthonormal(sample[:: len(sample) // count][:count].T)
    for _ in range(ROUNDS):
        basis = orthonormal(sample.T @ (sample @ basis))
    scores = (sample @ basis).astype(np.float64)
    _, rotation = np.linalg.eigh(scores.T @ scores)
    return np.ascontiguousarray((basis @ rotation[:, ::-1][:, :RANK]).astype(np.float32))


def orthonormal(columns: Array) -> Array:
    return np.linalg.qr(columns.astype(np.float64))[0].astype(np.float32)
