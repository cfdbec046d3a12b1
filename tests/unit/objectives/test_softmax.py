"""The built-in softmax loss against independent answers: a plain loop, ln 10, finite differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_images import write_cifar10

from optitrip.core.arrays import Array
from optitrip.loss.objective import Objective
from optitrip.objectives import Softmax
from optitrip.objectives.data import images


@pytest.fixture(scope="module")
def weights() -> Array:
    return np.random.default_rng(3).standard_normal((64, 10, 65)) * np.geomspace(1e-4, 3, 64)[:, None, None]


def plain_loop(W: Array, pixels: Array, labels: Array, mean: Array, l2: float) -> float:
    """The textbook's loss, image by image, in float64; the pixels come from the file and in its order."""
    total = 0.0
    for image, label in zip(pixels, labels, strict=True):
        scores = W @ np.append(image - mean, 1.0)
        scores -= scores.max()
        total += np.log(np.exp(scores).sum()) - scores[label]
    return total / len(pixels) + l2 * float((W**2).sum())


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_losses_equal_a_plain_loop(l2: float, weights: Array) -> None:
    """To 1e-12 relative, over weights from tiny to large, with and without the penalty."""
    data = images.digits()
    mean = data.train_pixels.mean(axis=0)
    expected = [plain_loop(W, data.train_pixels, data.train_labels, mean, l2) for W in weights[::9]]
    np.testing.assert_allclose(Softmax(l2=l2).losses(weights)[::9], expected, rtol=1e-12)


def test_without_weights_the_loss_is_ln_10() -> None:
    """All classes are as likely (CS231n's sanity check)."""
    assert Softmax()(np.zeros((10, 65))) == pytest.approx(np.log(10), rel=1e-15)


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_the_gradient_is_that_of_finite_differences(l2: float, weights: Array) -> None:
    """Central differences in float64 at the step eps^(1/3) agree to their own error of about 1e-9."""
    loss = Softmax(l2=l2)
    W, h = weights[40], 6e-6
    analytic = Objective(loss).gradient({"W": W[np.newaxis]}, ["W"])["W"]
    for c, j in [(0, 0), (3, 20), (9, 64), (5, 35)]:
        step = np.zeros_like(W)
        step[c, j] = h
        numeric = (loss(W + step) - loss(W - step)) / (2 * h)
        assert analytic[c, j] == pytest.approx(numeric, abs=1e-8)


def test_cifar10_has_the_loss_of_a_plain_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the digits do, on small files in the official layout."""
    monkeypatch.setattr(images, "RECORDS", 20)
    table = write_cifar10(tmp_path, 20)[:100]
    W = np.random.default_rng(5).standard_normal((64, 10, 3_073)) * 1e-4
    expected = plain_loop(W[9], table[:, 1:], table[:, 0], table[:, 1:].mean(axis=0), 0.0)
    assert Softmax("cifar10", str(tmp_path)).losses(W)[9] == pytest.approx(expected, rel=1e-12)
