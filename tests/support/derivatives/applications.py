"""Losses as people fit them, each written once for both arithmetics: likelihoods, finance, chemistry, simulators, and
one-dimensional ones that are steep, or have scales and kinks of their own."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

GIVEN = (0.41, -1.2, 0.3, 2.2, -0.7, 1.1, -2.1, 0.05, 0.9, -0.35)
TIMES = tuple(0.13 * i + 0.02 * math.sin(7.0 * i) for i in range(8))
SEEN = tuple(math.sin(3 * t) + 0.1 * math.cos(31 * t) for t in TIMES)
RATES = ((300.0, 1e-6), (400.0, 3e-3), (500.0, 0.4), (700.0, 90.0))
DOSES = ((1e-9, 0.1), (1e-8, 0.35), (1e-7, 0.8), (1e-6, 0.95))


def mixture(m: Any, b: Any) -> Any:
    """Two normal distributions."""
    weight, s, t = 1 / (1 + m.exp(-b[0])), m.exp(b[3]), m.exp(b[4])
    parts = (
        (weight / s * m.exp(-(((y - b[1]) / s) ** 2) / 2), (1 - weight) / t * m.exp(-(((y - b[2]) / t) ** 2) / 2))
        for y in GIVEN
    )
    return -sum(m.log(one + other) for one, other in parts)


def garch(m: Any, b: Any) -> Any:
    """A variance that follows its past."""
    variance, total = 1, 0
    for y in GIVEN:
        variance = b[0] + b[1] * y * y + b[2] * variance
        total = total + m.log(variance) + y * y / variance
    return total


def poisson(m: Any, b: Any) -> Any:
    return sum(m.exp(b[0] + b[1] * t) - k * (b[0] + b[1] * t) for k, t in enumerate(GIVEN))


def gaussian_process(m: Any, b: Any) -> Any:
    """The likelihood of a Gaussian process, by Cholesky's decomposition."""
    size, length, noise = m.exp(b[0]), m.exp(b[1]), m.exp(b[2])
    rows: list[list[Any]] = []
    y: list[Any] = []
    total = 0
    for i, p in enumerate(TIMES):
        row: list[Any] = []
        for j in range(i + 1):
            rest = size * m.exp(-(((p - TIMES[j]) / length) ** 2) / 2) + (noise if i == j else 0)
            for k in range(j):
                rest = rest - row[k] * (row if i == j else rows[j])[k]
            row.append(m.sqrt(rest) if i == j else rest / rows[j][j])
        rows.append(row)
        y.append((SEEN[i] - sum(row[k] * y[k] for k in range(i))) / row[i])
        total = total + y[i] * y[i] / 2 + m.log(row[i])
    return total


def call_option(m: Any, x: Any) -> Any:
    """The Black-Scholes price by spot, strike, time, volatility and rate."""
    spot, strike, time, volatility, rate = x
    width = volatility * m.sqrt(time)
    d = (m.log(spot / strike) + (rate + volatility * volatility / 2) * time) / width
    shares, paid = ((1 + m.erf(t / m.sqrt(2))) / 2 for t in (d, d - width))
    return spot * shares - strike * m.exp(-rate * time) * paid


def bond(m: Any, x: Any) -> Any:
    return sum(5 / (1 + x[0]) ** i for i in range(1, 31)) + 100 / (1 + x[0]) ** 30


def arrhenius(m: Any, x: Any) -> Any:
    return sum((m.log(x[0]) - x[1] / (8.314 * t) - math.log(k)) ** 2 for t, k in RATES)


def hill(m: Any, x: Any) -> Any:
    return sum((y - x[0] / (1 + m.exp(x[2] * (m.log(x[1]) - math.log(dose))))) ** 2 for dose, y in DOSES)


def lennard_jones(m: Any, x: Any) -> Any:
    return 4 * x[1] * ((x[2] / x[0]) ** 12 - (x[2] / x[0]) ** 6)


def predators(m: Any, p: Any) -> Any:
    """Lotka and Volterra's equations by Runge and Kutta's method of order four."""
    h, y = 1 / 8, [1, 0.5]

    def slope(y: Any) -> list[Any]:
        return [p[0] * y[0] - p[1] * y[0] * y[1], -p[2] * y[1] + p[3] * y[0] * y[1]]

    for _ in range(24):
        a = slope(y)
        b = slope([s + h / 2 * t for s, t in zip(y, a, strict=True)])
        c = slope([s + h / 2 * t for s, t in zip(y, b, strict=True)])
        d = slope([s + h * t for s, t in zip(y, c, strict=True)])
        y = [s + h / 6 * (p + 2 * q + 2 * r + t) for s, p, q, r, t in zip(y, a, b, c, d, strict=True)]
    return (y[0] - 1.2) ** 2 + (y[1] - 0.7) ** 2


def iterated(m: Any, x: Any) -> Any:
    """Newton's method for a square root, as often as it takes."""
    y = x[0]
    for _ in range(6):
        y = (y + x[1] / y) / 2
    return y


def relu_net(m: Any, x: Any) -> Any:
    """A network whose kinks are a few hundredths away."""
    hidden = (max(0, a * x[0] + b * x[1]) for a, b in zip(GIVEN, GIVEN[3:], strict=False))
    return (sum(a * h for a, h in zip(GIVEN[5:], hidden, strict=False)) - 1) ** 2


def hinge(m: Any, x: Any) -> Any:
    return sum(max(0, 1 - y * (x[0] * t + x[1])) for y, t in zip((1, -1) * 5, GIVEN, strict=True)) + x[0] ** 2 / 100


def steep(m: Any, x: Any) -> Any:
    return m.exp(20 * x[0]) + x[1] ** 20


def peak(m: Any, x: Any) -> Any:
    return 1 / (1 + 1e4 * (x[0] - 1) ** 2)


def two_scales(m: Any, x: Any) -> Any:
    return x[0] ** 2 + 1e-4 * m.sin(300 * x[0]) + m.tanh(1000 * x[1])


def twenty_scales(m: Any, x: Any) -> Any:
    return sum(m.sin(t * 2.0 ** (10 - k)) for k, t in enumerate(x))


def waves_far_away(m: Any, x: Any) -> Any:
    """As at a time in seconds since 1970."""
    return m.sin(x[0] - 1e10)


def hundred(m: Any, x: Any) -> Any:
    pairs = sum(a * b for a, b in pairwise(x))
    return m.exp(sum(x) / 10) + sum(t * t * t * t for t in x) + pairs


STARTS: dict[str, list[list[float]]] = {
    "mixture": [[0, -1, 1, 0, 0], [-0.4, -1, 0.5, -1.5, 0.4]],
    "garch": [[0.1, 0.1, 0.8], [1e-3, 0.9, 0.05]],
    "poisson": [[0.1, 0.1], [3, -2]],
    "gaussian_process": [[0, -1, -4], [0.5, 0.3, -12]],
    "call_option": [[100, 110, 0.5, 0.2, 0.03], [100, 100, 1e-3, 0.2, 0.03]],
    "bond": [[0.05], [1e-6], [0.0]],
    "arrhenius": [[1e13, 1e5], [1e-20, 50]],
    "hill": [[1, 2e-8, 1]],
    "lennard_jones": [[3.8e-10, 1.65e-21, 3.4e-10], [3.8, 1, 3.4]],
    "predators": [[1.5, 1, 3, 1], [1.1, 0.4, 0.4, 0.1]],
    "iterated": [[1, 2], [3, 1e4]],
    "relu_net": [[0.7, -0.3], [0.01, 0.02]],
    "hinge": [[0.3, 0.1], [-1, 2]],
    "steep": [[1, 1], [-1.5, 0.01]],
    "peak": [[2], [1e-2]],
    "two_scales": [[1, 1], [0.5, 1e-3]],
    "twenty_scales": [[2.0 ** (k - 10) for k in range(20)]],
    "waves_far_away": [[1e10]],
    "hundred": [[0.01 * i - 0.5 for i in range(100)]],
}
"""Points by function."""
