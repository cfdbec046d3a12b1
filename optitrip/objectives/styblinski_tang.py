"""A test function whose least value grows with the dimension."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optitrip.core.part import Array
from optitrip.objectives.analytic import Analytic

PLACE, LEAST = -2.903534027771177095, -39.16616570377141546
"""The lowest root of 4 x^3 - 32 x + 5, the derivative of twice a term, and the term there."""


@dataclass(frozen=True)
class StyblinskiTang(Analytic):
    """f(x) = sum_i (x_i^4 - 16 x_i^2 + 5 x_i) / 2; least at (-2.9035, ..., -2.9035), where it is -39.166 d.

    Each coordinate has a second, local minimum at 2.7468, so there are 2^d of them. M. A. Styblinski, T.-S. Tang,
    "Experiments in nonconvex optimization: stochastic approximation with function smoothing and simulated annealing",
    Neural Networks 3, 1990.
    """

    def _place(self, dimension: int) -> Array:
        return np.full(dimension, PLACE)

    def _least(self, dimension: int) -> float:
        return dimension * LEAST

    def _values(self, x: Array) -> Array:
        return (x * ((np.square(x) - 16) * x + 5)).sum(axis=-1) / 2

    def _slope(self, x: Array) -> Array:
        return (2 * np.square(x) - 16) * x + 2.5
