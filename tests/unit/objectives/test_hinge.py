"""The built-in hinge loss against independent answers: a plain loop, 9, counts by hand, finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from optitrip.core.arrays import Array
from optitrip.loss.objective import Objective
from optitrip.objectives import Hinge
from optitrip.objectives.data import images


@pytest.fixture(scope="module")
def weights() -> Array:
    return np.random.default_rng(6).standard_normal((64, 10, 65)) * np.geomspace(1e-4, 3, 64)[:, None, None]


def plain_loop(W: Array, l2: float) -> float:
    """The textbook's loss, image by image and class by class; the pixels come from the file and in its order."""
    data = images.digits()
    mean = data.train_pixels.mean(axis=0)
    total = 0.0
    for image, label in zip(data.train_pixels, data.train_labels, strict=True):
        scores = W @ np.append(image - mean, 1.0)
        for c in range(10):
            if c != label:
                total += max(0.0, scores[c] - scores[label] + 1)
    return total / len(data.train_pixels) + l2 * float((W**2).sum())


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_losses_equal_a_plain_loop(l2: float, weights: Array) -> None:
    """To 1e-12 relative, over weights from tiny to large, with and without the penalty."""
    expected = [plain_loop(W, l2) for W in weights[::9]]
    np.testing.assert_allclose(Hinge(l2=l2).losses(weights)[::9], expected, rtol=1e-12)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_without_weights_the_loss_is_9(precision: str) -> None:
    """Each of nine wrong classes is short of the margin by all of it (CS231n's sanity check)."""
    assert Hinge(precision=precision)(np.zeros((10, 65))) == 9  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("row", [20, 40, 55])
def test_the_gradient_is_that_of_finite_differences(l2: float, row: int, weights: Array) -> None:
    """Central differences agree to rounding where no margin changes its sign within the step: there f is linear."""
    loss = Hinge(l2=l2)
    W, h = weights[row], 6e-6
    scores = loss.x @ W.T
    margins = scores - scores[np.arange(len(scores)), loss.labels][:, np.newaxis] + 1
    analytic = Objective(loss).gradient({"W": W[np.newaxis]}, ["W"])["W"]
    checked = 0
    for c, j in [(0, 3), (3, 20), (9, 64), (5, 35), (7, 10), (1, 60)]:
        moved = (np.arange(10) == c)[np.newaxis, :] | (loss.labels == c)[:, np.newaxis]
        moved[np.arange(len(scores)), loss.labels] = False
        if (moved & (np.abs(margins) <= h * np.abs(loss.x[:, j])[:, np.newaxis])).any():
            continue
        step = np.zeros_like(W)
        step[c, j] = h
        numeric = (loss(W + step) - loss(W - step)) / (2 * h)
        assert analytic[c, j] == pytest.approx(numeric, rel=1e-9, abs=1e-8)
        checked += 1
    assert checked >= 4


def test_a_margin_of_exactly_0_counts_as_not_positive() -> None:
    """With a bias of 1 for class 0 alone, its own images are at a kink of every other class and add no slope."""
    loss = Hinge()
    W = np.zeros((10, 65))
    W[0, 64] = 1
    counts = np.bincount(images.digits().train_labels)
    others = counts.sum() - counts[0]
    # Margins of an image of another class: 2 of class 0, and 1 of each of the remaining eight.
    assert loss(W) == pytest.approx(10 * others / counts.sum(), rel=1e-15)
    slopes = [others, *(others - counts[c] - 9 * counts[c] for c in range(1, 10))]
    np.testing.assert_allclose(loss.gradient(W)[:, 64], np.array(slopes) / counts.sum(), rtol=1e-14)


def test_a_loss_is_0_when_every_margin_is_kept() -> None:
    """Exactly, and so is the gradient; subgradient descent reaches such weights, as the digits can be told apart."""
    loss = Hinge()
    W = np.zeros((10, 65))
    for _ in range(2_000):
        if not loss(W):
            break
        np.subtract(W, 0.01 * loss.gradient(W), out=W)
    assert loss(W) == 0
    assert not loss.gradient(W).any()
