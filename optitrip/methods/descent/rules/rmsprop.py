"""RMSProp: AdaGrad with a running mean of the squares in place of their sum (T. Tieleman, G. Hinton, lecture 6.5 of
"Neural networks for machine learning", 2012), in the form of torch.optim.RMSprop: eps is outside of the root.
"""

from collections.abc import Mapping

import numpy as np

from optitrip.core.arrays import Array
from optitrip.methods.descent.rule import State, Stepped


def init(x: Array) -> State:
    """Return the state before the first step: the running means of squares and gradients, and the velocity."""
    return {"square": np.zeros_like(x), "mean": np.zeros_like(x), "velocity": np.zeros_like(x)}


def update(
    x: Array,
    gradient: Array,
    state: Mapping[str, Array],
    rate: float,
    *,
    alpha: float = 0.99,
    eps: float = 1e-8,
    centered: bool = False,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> Stepped:
    """Take a step along gradient / (sqrt(square) + eps); `centered` subtracts the square of the mean gradient."""
    gradient = gradient + weight_decay * x
    square = alpha * state["square"] + (1 - alpha) * np.square(gradient)
    mean = state["mean"] + (1 - alpha) * (gradient - state["mean"]) if centered else state["mean"]
    velocity = momentum * state["velocity"] + gradient / (np.sqrt(square - np.square(mean)) + eps)
    return x - rate * velocity, {"square": square, "mean": mean, "velocity": velocity}
