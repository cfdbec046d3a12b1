"""Test problems with known losses and gradients at their standard starts.

J. J. More, B. S. Garbow, K. E. Hillstrom, "Testing unconstrained optimization software", ACM Transactions on
Mathematical Software 7, 1981: problems 1, 2, 3, 4, 5, 7, 12 (m = 10), 13 and 14. Formulas are written as there, one
residual after the other, to be read beside the paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from optitrip.core.arrays import Array


@dataclass(frozen=True)
class Problem:
    """A loss of one array x of shape (d,), its standard start, and f and df/dx there."""

    name: str
    loss: Callable[[Array], float]
    start: tuple[float, ...]
    value: float
    gradient: tuple[float, ...]


def rosenbrock(x: Array) -> float:
    return squares(10 * (x[1] - x[0] ** 2), 1 - x[0])


def freudenstein_roth(x: Array) -> float:
    return squares(-13 + x[0] + ((5 - x[1]) * x[1] - 2) * x[1], -29 + x[0] + ((x[1] + 1) * x[1] - 14) * x[1])


def powell_badly_scaled(x: Array) -> float:
    return squares(1e4 * x[0] * x[1] - 1, math.exp(-x[0]) + math.exp(-x[1]) - 1.0001)


def brown_badly_scaled(x: Array) -> float:
    return squares(x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2)


def beale(x: Array) -> float:
    return squares(*(y - x[0] * (1 - x[1] ** k) for k, y in ((1, 1.5), (2, 2.25), (3, 2.625))))


def helical_valley(x: Array) -> float:
    """The start is at x1 < 0, x2 = 0, where atan2 would jump by a whole turn; the paper's arctan(x2 / x1) + pi does
    not, and jumps at x1 = 0, x2 < 0 instead."""
    turns = math.atan(x[1] / x[0]) / (2 * math.pi) + (0.5 if x[0] < 0 else 0.0) if x[0] else math.copysign(0.25, x[1])
    return squares(10 * (x[2] - 10 * turns), 10 * (math.hypot(x[0], x[1]) - 1), x[2])


def box(x: Array) -> float:
    times = [0.1 * i for i in range(1, 11)]
    return squares(
        *(math.exp(-t * x[0]) - math.exp(-t * x[1]) - x[2] * (math.exp(-t) - math.exp(-10 * t)) for t in times)
    )


def powell_singular(x: Array) -> float:
    return squares(
        x[0] + 10 * x[1], math.sqrt(5) * (x[2] - x[3]), (x[1] - 2 * x[2]) ** 2, math.sqrt(10) * (x[0] - x[3]) ** 2
    )


def wood(x: Array) -> float:
    return squares(
        10 * (x[1] - x[0] ** 2),
        1 - x[0],
        math.sqrt(90) * (x[3] - x[2] ** 2),
        1 - x[2],
        math.sqrt(10) * (x[1] + x[3] - 2),
        (x[1] - x[3]) / math.sqrt(10),
    )


def squares(*residuals: float) -> float:
    return float(np.sum(np.square(residuals)))


# Values and gradients: mpmath, 40 digits, rounded to 17.
PROBLEMS = (
    Problem("Rosenbrock", rosenbrock, (-1.2, 1), 24.2, (-215.6, -88)),
    Problem("Freudenstein-Roth", freudenstein_roth, (0.5, -2), 400.5, (30, -1272)),
    Problem(
        "Powell badly scaled",
        powell_badly_scaled,
        (0, 1),
        1.1352617173483784,
        (-20000.735558882343, -0.2705969905849911),
    ),
    Problem("Brown badly scaled", brown_badly_scaled, (1, 1), 999998000003, (-2000000, -4e-6)),
    Problem("Beale", beale, (1, 1), 14.203125, (0, 27.75)),
    Problem("Helical valley", helical_valley, (-1, 0, 0), 2500, (0, -1591.5494309189534, -1000)),
    Problem(
        "Box three-dimensional",
        box,
        (0, 10, 20),
        1031.1538106093983,
        (98.223431498492169, -2.1193742067587369, 112.3881736222035),
    ),
    Problem("Powell singular", powell_singular, (3, -1, 0, 1), 215, (306, -144, -2, -310)),
    Problem("Wood", wood, (-3, -1, -3, -1), 19192, (-12008, -2080, -10808, -1880)),
)
