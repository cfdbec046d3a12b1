"""A network with one hidden layer that learns handwritten digits, by stochastic gradient descent in NumPy."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.objectives.data import images

Array = np.ndarray[Any, Any]
TRAINED = 500
"""Number of images that it learns from; the other training images are for validation."""
FILE = "network.npz"
"""File with the weights, their velocities and the number of epochs so far."""


@cache
def data() -> tuple[Array, Array, Array, Array]:
    """Pixels from 0 to 1 and labels, of the images to learn from and of those for validation; read once a process."""
    digits = images.load("digits", None)
    pixels, labels = digits.train_pixels / 16.0, digits.train_labels.astype(int)
    return pixels[:TRAINED], labels[:TRAINED], pixels[TRAINED:], labels[TRAINED:]


def loss(
    rate: float,
    momentum: float,
    decay: float,
    hidden: int,
    batch: int,
    epochs: int,
    state_dir: str | None = None,
    start: int = 0,
) -> dict[str, float]:
    """Cross-entropy of the validation images after so many epochs, and the share of them that is recognised.

    The rate falls as 1 / (1 + epoch). Training goes on from the epoch at which the weights in `state_dir` were saved;
    the images of an epoch come in an order of its own, so that it ends with the same weights as all epochs at once.
    """
    x, y, validation_x, validation_y = data()
    place = Path(state_dir) / FILE if state_dir else None
    if place and place.exists():
        with np.load(place) as saved:
            done, weights, velocity = int(saved["done"]), unpacked(saved, "weight"), unpacked(saved, "velocity")
    else:
        done, weights = 0, beginning(x.shape[1], hidden, start)
        velocity = [np.zeros_like(part) for part in weights]
    for epoch in range(done, epochs):
        order = np.random.default_rng([start, epoch]).permutation(len(x))
        for rows in np.split(order, range(batch, len(x), batch)):
            for part, speed, slope in zip(weights, velocity, gradient(weights, x[rows], y[rows]), strict=True):
                speed *= momentum
                speed -= rate / (1 + epoch) * (slope + decay * part)
                part += speed
    if place:
        packed = {f"weight{n}": part for n, part in enumerate(weights)}
        packed |= {f"velocity{n}": part for n, part in enumerate(velocity)}
        np.savez(place, done=np.array(epochs), **packed)
    scores, _ = forward(weights, validation_x)
    right = log_softmax(scores)[np.arange(len(validation_y)), validation_y]
    return {"loss": -float(right.mean()), "accuracy": float((scores.argmax(axis=1) == validation_y).mean())}


def unpacked(saved: Any, name: str) -> list[Array]:
    return [saved[f"{name}{n}"].copy() for n in range(4)]


def beginning(inputs: int, hidden: int, start: int) -> list[Array]:
    """Return random weights (K. He et al., 2015) and biases of zero of both layers."""
    random = np.random.default_rng([start, 2**32])
    first, second = random.normal(0, np.sqrt(2 / inputs), (inputs, 128)), random.normal(0, 1, (128, 10))
    return [first[:, :hidden].copy(), np.zeros(hidden), second[:hidden] * np.sqrt(2 / hidden), np.zeros(10)]


def forward(weights: list[Array], x: Array) -> tuple[Array, Array]:
    """Return scores of the classes, of shape (images, 10), and the outputs of the hidden units."""
    first, bias, second, offset = weights
    units = np.maximum(x @ first + bias, 0)
    return units @ second + offset, units


def gradient(weights: list[Array], x: Array, y: Array) -> list[Array]:
    """Return the gradient of the mean cross-entropy by each of the weights."""
    scores, units = forward(weights, x)
    error = np.exp(log_softmax(scores))
    error[np.arange(len(y)), y] -= 1
    error /= len(y)
    back = (error @ weights[2].T) * (units > 0)
    return [x.T @ back, back.sum(axis=0), units.T @ error, error.sum(axis=0)]


def log_softmax(scores: Array) -> Array:
    shifted = scores - scores.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
