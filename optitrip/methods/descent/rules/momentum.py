"""Momentum: x rolls like a heavy ball (B. T. Polyak, "Some methods of speeding up the convergence of iteration
methods", 1964), in the form of torch.optim.SGD, whose first step is one of plain descent.
"""

from collections.abc import Mapping

import numpy as np

from optitrip.core.arrays import Array
from optitrip.methods.descent.rule import State, Stepped


def init(x: Array) -> State:
    """Return the state before the first step: the velocity, and how many steps were taken."""
    return {"velocity": np.zeros_like(x), "t": np.zeros(())}


def update(
    x: Array,
    gradient: Array,
    state: Mapping[str, Array],
    rate: float,
    *,
    momentum: float = 0.9,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
) -> Stepped:
    """Take a step along the velocity, which becomes momentum * velocity + (1 - dampening) * gradient."""
    gradient = gradient + weight_decay * x
    velocity = momentum * state["velocity"] + (1 - dampening) * gradient if state["t"] else gradient
    return x - rate * velocity, {"velocity": velocity, "t": state["t"] + 1}
