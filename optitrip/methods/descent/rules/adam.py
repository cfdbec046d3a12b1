"""Adam: momentum divided by the root of a running mean of squares, both corrected for their start at 0 (D. P. Kingma,
J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1).
"""

from collections.abc import Mapping

import numpy as np

from optitrip.core.arrays import Array
from optitrip.methods.descent.rule import State, Stepped


def init(x: Array) -> State:
    """Return the state before the first step: the running means, and how many steps were taken."""
    return {"mean": np.zeros_like(x), "square": np.zeros_like(x), "t": np.zeros(())}


def update(
    x: Array,
    gradient: Array,
    state: Mapping[str, Array],
    rate: float,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    amsgrad: bool = False,
    weight_decay: float = 0.0,
) -> Stepped:
    """Take a step of about `rate` in each entry; `amsgrad` divides by the largest mean of squares so far."""
    gradient = gradient + weight_decay * x
    t = float(state["t"]) + 1
    mean = state["mean"] + (1 - beta1) * (gradient - state["mean"])
    square = beta2 * state["square"] + (1 - beta2) * np.square(gradient)
    after: State = {"mean": mean, "square": square, "t": np.array(t)}
    largest = square
    if amsgrad:
        largest = after["largest"] = np.maximum(state.get("largest", square), square)
    root = np.sqrt(largest) / (1 - beta2**t) ** 0.5 + eps
    return x - rate / (1 - beta1**t) * mean / root, after
