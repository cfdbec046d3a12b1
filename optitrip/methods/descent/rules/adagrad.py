"""AdaGrad: each entry has a rate of its own, which falls with the squares of its gradients (J. Duchi, E. Hazan,
Y. Singer, "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 12, 2011).
"""

from collections.abc import Mapping

import numpy as np

from optitrip.core.arrays import Array
from optitrip.methods.descent.rule import State, Stepped


def init(x: Array) -> State:
    """Return the state before the first step: the sums of squares, and how many steps were taken."""
    return {"sum": np.zeros_like(x), "t": np.zeros(())}


def update(
    x: Array,
    gradient: Array,
    state: Mapping[str, Array],
    rate: float,
    *,
    rate_decay: float = 0.0,
    weight_decay: float = 0.0,
    eps: float = 1e-10,
) -> Stepped:
    """Take a step of rate / (1 + t * rate_decay) along gradient / (sqrt(sum) + eps)."""
    gradient = gradient + weight_decay * x
    total = state["sum"] + np.square(gradient)
    rate = rate / (1 + float(state["t"]) * rate_decay)
    return x - rate * gradient / (np.sqrt(total) + eps), {"sum": total, "t": state["t"] + 1}
