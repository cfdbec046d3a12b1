"""More test functions, each written once for both arithmetics.

W. Hock, K. Schittkowski, "Test examples for nonlinear programming codes", 1981 (hs); the CUTEst collection; More,
Garbow and Hillstrom; functions of global search.
"""

from __future__ import annotations

import math
from typing import Any

from derivatives.formulas import squares

ENERGIES = (-6.089, -17.164, -34.054, -5.914, -24.721, -14.986, -24.1, -10.708, -26.662, -22.179)
HARTMANN_A = ((3, 10, 30), (0.1, 10, 35), (3, 10, 30), (0.1, 10, 35))
HARTMANN_P = (
    (0.3689, 0.117, 0.2673),
    (0.4699, 0.4387, 0.747),
    (0.1091, 0.8732, 0.5547),
    (0.03815, 0.5743, 0.8828),
)


def hs25(m: Any, x: Any) -> Any:
    total = 0
    for i in range(1, 100):
        u = 25 + (-50 * math.log(0.01 * i)) ** (2 / 3)
        total = total + (-0.01 * i + m.exp(-m.exp(x[2] * m.log(abs(u - x[1]))) / x[0])) ** 2
    return total


def hs46(m: Any, x: Any) -> Any:
    return (x[0] - x[1]) ** 2 + (x[2] - 1) ** 2 + (x[3] - 1) ** 4 + (x[4] - 1) ** 6


def hs54(m: Any, x: Any) -> Any:
    """Variables of sizes from 1e-3 to 1e8."""
    pair = ((x[0] - 1e4) ** 2 / 6.4e7 + (x[0] - 1e4) * (x[1] - 1) / 2e4 + (x[1] - 1) ** 2) / 0.96
    rest = (x[2] - 2e6) ** 2 / 4.9e13 + (x[3] - 10) ** 2 / 2.5e3 + (x[4] - 1e-3) ** 2 / 2.5e-3
    return -m.exp(-(pair + rest + (x[5] - 1e8) ** 2 / 2.5e17) / 2)


def hs71(m: Any, x: Any) -> Any:
    return x[0] * x[3] * (x[0] + x[1] + x[2]) + x[2]


def hs80(m: Any, x: Any) -> Any:
    return m.exp(x[0] * x[1] * x[2] * x[3] * x[4])


def hs100(m: Any, x: Any) -> Any:
    first = (x[0] - 10) ** 2 + 5 * (x[1] - 12) ** 2 + x[2] ** 4 + 3 * (x[3] - 11) ** 2 + 10 * x[4] ** 6
    return first + 7 * x[5] ** 2 + x[6] ** 4 - 4 * x[5] * x[6] - 10 * x[5] - 8 * x[6]


def hs104(m: Any, x: Any) -> Any:
    return 0.4 * x[0] ** 0.67 * x[6] ** -0.67 + 0.4 * x[1] ** 0.67 * x[7] ** -0.67 + 10 - x[0] - x[1]


def hs110(m: Any, x: Any) -> Any:
    product, total = 1, 0
    for t in x:
        product, total = product * t, total + m.log(t - 2) ** 2 + m.log(10 - t) ** 2
    return total - product**0.2


def hs112(m: Any, x: Any) -> Any:
    """Chemical equilibrium."""
    return sum(t * (energy + m.log(t / sum(x))) for energy, t in zip(ENERGIES, x, strict=True))


def helical_valley(m: Any, x: Any) -> Any:
    angle = m.atan(x[1] / x[0]) / (2 * m.pi) + (0.5 if x[0] < 0 else 0)
    return 100 * ((x[2] - 10 * angle) ** 2 + (m.sqrt(x[0] ** 2 + x[1] ** 2) - 1) ** 2) + x[2] ** 2


def jennrich_sampson(m: Any, x: Any) -> Any:
    return squares(*(2 + 2 * i - (m.exp(i * x[0]) + m.exp(i * x[1])) for i in range(1, 11)))


def brown_dennis(m: Any, x: Any) -> Any:
    pairs = (
        (x[0] + i / 5 * x[1] - math.exp(i / 5), x[2] + x[3] * math.sin(i / 5) - math.cos(i / 5)) for i in range(1, 21)
    )
    return sum((a**2 + b**2) ** 2 for a, b in pairs)


def biggs_6(m: Any, x: Any) -> Any:
    found: list[Any] = []
    for t in (i / 10 for i in range(1, 14)):
        y = math.exp(-t) - 5 * math.exp(-10 * t) + 3 * math.exp(-4 * t)
        found.append(x[2] * m.exp(-t * x[0]) - x[3] * m.exp(-t * x[1]) + x[5] * m.exp(-t * x[4]) - y)
    return squares(*found)


def broyden_tridiagonal(m: Any, x: Any) -> Any:
    z = [0, *x, 0]
    return squares(*((3 - 2 * z[i]) * z[i] - z[i - 1] - 2 * z[i + 1] + 1 for i in range(1, len(x) + 1)))


def discrete_boundary_value(m: Any, x: Any) -> Any:
    h, z = 1 / (len(x) + 1), [0, *x, 0]
    return squares(
        *(2 * z[i] - z[i - 1] - z[i + 1] + h * h * (z[i] + i * h + 1) ** 3 / 2 for i in range(1, len(x) + 1))
    )


def schmvett(m: Any, x: Any) -> Any:
    return sum(
        -1 / (1 + (a - b) ** 2) - m.sin((m.pi * b + c) / 2) - m.exp(-(((a + c) / b - 2) ** 2))
        for a, b, c in zip(x, x[1:], x[2:], strict=False)
    )


def cliff(m: Any, x: Any) -> Any:
    return (x[0] / 100 - 0.03) ** 2 - (x[0] - x[1]) + m.exp(20 * (x[0] - x[1]))


def hairy(m: Any, x: Any) -> Any:
    waves = 30 * m.sin(7 * x[0]) ** 2 * m.cos(7 * x[1]) ** 2
    return waves + 100 * m.sqrt(0.01 + (x[0] - x[1]) ** 2) + 100 * m.sqrt(0.01 + x[0] ** 2)


def rastrigin(m: Any, x: Any) -> Any:
    return 10 * len(x) + sum(t * t - 10 * m.cos(2 * m.pi * t) for t in x)


def ackley(m: Any, x: Any) -> Any:
    radius, waves = m.sqrt(sum(t * t for t in x) / len(x)), sum(m.cos(2 * m.pi * t) for t in x) / len(x)
    return -20 * m.exp(-0.2 * radius) - m.exp(waves) + 20 + m.exp(1)


def griewank(m: Any, x: Any) -> Any:
    product = 1
    for i, t in enumerate(x):
        product = product * m.cos(t / math.sqrt(i + 1))
    return sum(t * t for t in x) / 4000 - product + 1


def branin(m: Any, x: Any) -> Any:
    parabola = x[1] - 5.1 / (4 * m.pi**2) * x[0] ** 2 + 5 / m.pi * x[0] - 6
    return parabola**2 + 10 * (1 - 1 / (8 * m.pi)) * m.cos(x[0]) + 10


def hartmann_3(m: Any, x: Any) -> Any:
    rows = zip((1, 1.2, 3, 3.2), HARTMANN_A, HARTMANN_P, strict=True)
    return -sum(c * m.exp(-sum(a[j] * (x[j] - p[j]) ** 2 for j in range(3))) for c, a, p in rows)


STARTS: dict[str, list[list[float]]] = {
    "hs25": [[100, 12.5, 3]],
    "hs46": [[0.7, 1.75, 0.5, 2, 2], [1.001, 1, 1, 0.99, 1.01]],
    "hs54": [[6e3, 1.5, 4e6, 2, 3e-3, 5e7]],
    "hs71": [[1, 5, 5, 1]],
    "hs80": [[-2, 2, 2, -1, -1], [-1.71714, 1.59571, 1.82725, -0.763643, -0.763645]],
    "hs100": [[1, 2, 0, 4, 0, 1, 1]],
    "hs104": [[6, 3, 0.4, 0.2, 6, 6, 1, 0.5]],
    "hs110": [[9.0] * 10],
    "hs112": [[0.1] * 10, [0.0177, 0.082, 0.8826, 7.233e-4, 0.4908, 4.335e-4, 0.01727, 0.007766, 0.01985, 0.0527]],
    "helical_valley": [[-1, 0, 0], [1, 1e-9, 1e-10]],
    "jennrich_sampson": [[0.3, 0.4], [0.2578, 0.2578]],
    "brown_dennis": [[25, 5, -5, -1], [-11.594, 13.204, -0.40344, 0.23678]],
    "biggs_6": [[1, 2, 1, 1, 1, 1]],
    "broyden_tridiagonal": [[-1.0] * 8],
    "discrete_boundary_value": [[0.0] * 10],
    "schmvett": [[0.5] * 6],
    "cliff": [[0, -1], [3, 0.1]],
    "hairy": [[-5, -7], [0.1, -0.1]],
    "rastrigin": [[0.3, -2.0, 4.1, 0.01], [0.0] * 4],
    "ackley": [[0.3, -2.0, 4.1]],
    "griewank": [[300.0, -100.0, 50.0], [0.3, 0.1, 2.0]],
    "branin": [[1.0, -0.5]],
    "hartmann_3": [[0.2, 0.7, 0.4]],
}
"""Points by function, the first the published start if there is one."""
