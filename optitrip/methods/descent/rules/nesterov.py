"""Nesterov's momentum: the gradient counts where the velocity leads (Y. Nesterov, "A method of solving a convex
programming problem with convergence rate O(1/k^2)", 1983), in the form of torch.optim.SGD: x is the point ahead, so
that one gradient a step is enough.
"""

from collections.abc import Mapping

import numpy as np

from optitrip.core.arrays import Array
from optitrip.methods.descent.rule import State, Stepped


def init(x: Array) -> State:
    """Return the state before the first step: the velocity."""
    return {"velocity": np.zeros_like(x)}


def update(
    x: Array,
    gradient: Array,
    state: Mapping[str, Array],
    rate: float,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
) -> Stepped:
    """Take a step along the gradient and the new velocity."""
    gradient = gradient + weight_decay * x
    velocity = momentum * state["velocity"] + gradient
    return x - rate * (gradient + momentum * velocity), {"velocity": velocity}
