"""Gradient descent: x moves against the gradient (H. Robbins, S. Monro, "A stochastic approximation method", 1951)."""

from collections.abc import Mapping

from optitrip.core.arrays import Array
from optitrip.methods.descent.rule import State, Stepped


def init(x: Array) -> State:
    """Return the state before the first step: none."""
    del x
    return {}


def update(x: Array, gradient: Array, state: Mapping[str, Array], rate: float, *, weight_decay: float = 0.0) -> Stepped:
    """Take a step; `weight_decay` adds this multiple of x to the gradient."""
    return x - rate * (gradient + weight_decay * x), dict(state)
