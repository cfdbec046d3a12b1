"""Cheaper surrogates for the loss of a linear classifier, to find out which candidates deserve the full one.

A surrogate takes `losses(W)` alone. Its scores come from other products; what is made of them is the classifier's own.
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
"""Directions kept: with CIFAR-10 fewer save no more time, and more are not needed; directions that are iterated beside
them, and how often."""
SAMPLED = 10_000
"""Images that the directions are found from."""
LOW_RANK_ROWS = 1_024
"""Images a chunk: their scores fit the cache, since the product does no longer need long rows."""


class LowRank:
    """Scores from the principal components of the images; to first order what they leave out, too.

    With X = U P^T + R, P of `RANK` orthonormal columns,

        f(W) ~ f_U(W P) + <G, W>,   G = df/dW at W = 0 of the scores R W^T,

    so that a product with 3,073 features becomes one with 96. What is left out is of second order in R W^T: for the
    small weights of a random search nearly the same for every candidate.

    P is found by subspace iteration (N. Halko, P.-G. Martinsson, J. A. Tropp, "Finding structure with randomness",
    SIAM Review 53, 2011, algorithm 4.4), begun with images in place of random numbers.
    """

    def __init__(self, whole: LinearClassifier) -> None:
        self._whole = whole
        self._basis = principal_directions(whole.x)
        self._reduced = np.concatenate([chunk.astype(np.float32) @ self._basis for chunk in chunks(whole.x)])
        slopes = np.zeros((len(whole.x), whole.classes), np.float32)
        whole.slopes(slopes, whole.labels)
        self._linear = np.zeros((whole.classes, whole.x.shape[1]))
        for slope, chunk, reduced in zip(chunks(slopes), chunks(whole.x), chunks(self._reduced), strict=True):
            self._linear += slope.T @ chunk - (slope.T @ reduced) @ self._basis.T
        self._linear /= len(whole.x)

    def losses(self, W: Array) -> Array:
        """Losses of n classifiers, W of shape (n, classes, features); float64 of shape (n,)."""
        whole, n = self._whole, len(W)
        weights = np.ascontiguousarray(W.transpose(1, 0, 2), np.float32).reshape(whole.classes * n, -1) @ self._basis
        out = np.empty((len(weights), LOW_RANK_ROWS), np.float32)

        def product(start: int, stop: int) -> Array:
            rows = self._reduced[start:stop]
            return np.matmul(weights, rows.T, out=out if len(rows) == LOW_RANK_ROWS else None)

        losses = whole.mean_of(n, LOW_RANK_ROWS, np.float32, product)
        return losses + np.asarray(W, np.float64).reshape(n, -1) @ self._linear.ravel() + whole.penalty(W)


class ByPyTorch:
    """Scores by PyTorch in bfloat16 or float32, on the CPU or on a GPU.

    Args:
        whole: the classifier.
        how: bfloat16 or float32.
        device: cpu or cuda.

    Raises:
        InputError: if PyTorch is not installed, or has no such device.
    """

    def __init__(self, whole: LinearClassifier, how: str, device: str) -> None:
        torch = pytorch(how, device)
        self._whole, self._how, self._device = whole, how, device
        tensors = [torch.from_numpy(chunk.astype(np.float32)).to(getattr(torch, how)) for chunk in chunks(whole.x)]
        # NumPy has no bfloat16, and only NumPy's arrays are shared by the workers of a node: it travels as integers.
        self._features: Array = torch.cat(tensors).view(torch.int16 if how == "bfloat16" else torch.float32).numpy()
        self._tensor: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_tensor": None}

    def losses(self, W: Array) -> Array:
        """Losses of n classifiers, W of shape (n, classes, features); float64 of shape (n,)."""
        torch = pytorch(self._how, self._device)
        precision = getattr(torch, self._how)
        whole, n = self._whole, len(W)
        if self._tensor is None:
            with warnings.catch_warnings():  # that the array is read-only, as it is meant to be
                warnings.simplefilter("ignore", UserWarning)
                self._tensor = torch.from_numpy(self._features).view(precision).to(self._device)
        flat = np.ascontiguousarray(W.transpose(1, 0, 2), np.float32).reshape(whole.classes * n, -1)
        weights = torch.from_numpy(flat).to(self._device, precision)

        def product(start: int, stop: int) -> Array:
            return (weights @ self._tensor[start:stop].T).float().cpu().numpy()

        # One thread a slot: the executors limit BLAS before PyTorch is imported.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            losses = whole.mean_of(n, whole.rows, np.float32, product)
        finally:
            torch.set_num_threads(threads)
        return losses + whole.penalty(W)


def pytorch(how: str, device: str) -> Any:
    """PyTorch, with the device wanted.

    Raises:
        InputError: if it is not installed, or has no such device.
    """
    try:
        torch = import_module("torch")  # not a statement: type checkers would want it installed
    except ImportError as error:
        raise InputError(
            f"screen = {how!r} on {device} takes PyTorch, which cannot be imported ({error}): install optitrip[torch]; "
            "screen = 'float32' and 'low_rank' on the CPU do without"
        ) from None
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device = 'cuda': PyTorch finds no GPU here; leave it out, or run where there is one")
    return torch


def chunks(rows: Array) -> Iterator[Array]:
    """A few thousand rows at a time: what is made of all pixels at once would take as much memory again."""
    return (rows[start : start + 4_096] for start in range(0, len(rows), 4_096))


def principal_directions(x: Array) -> Array:
    """The `RANK` directions in which the rows of x vary most about 0, float32 of shape (features, rank)."""
    sample = x[:: -(-len(x) // SAMPLED)].astype(np.float32)
    count = min(RANK + SPARE, *sample.shape)
    basis = orthonormal(sample[:: len(sample) // count][:count].T)
    for _ in range(ROUNDS):
        basis = orthonormal(sample.T @ (sample @ basis))
    seen = (sample @ basis).astype(np.float64)
    _, turns = np.linalg.eigh(seen.T @ seen)
    return np.ascontiguousarray((basis @ turns[:, ::-1][:, :RANK]).astype(np.float32))


def orthonormal(columns: Array) -> Array:
    return np.linalg.qr(columns.astype(np.float64))[0].astype(np.float32)
