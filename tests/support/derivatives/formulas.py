"""Test functions, each written once for both arithmetics.

J. J. More, B. S. Garbow, K. E. Hillstrom, "Testing unconstrained optimization software", ACM Transactions on
Mathematical Software 7, 1981 (numbers in brackets), and functions that are hard to differentiate numerically.
"""

from __future__ import annotations

from typing import Any

OSBORNE_Y = (
    "844 908 932 936 925 908 881 850 818 784 751 718 685 658 628 603 580 558 538 522 506 490 478 467 457 448 438 431 "
    "424 420 414 411 406"
)
KOWALIK_Y = (0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246)
KOWALIK_U = (4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625)
BARD_Y = (0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.1, 4.39)
GAUSSIAN_Y = (0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521, 0.3989)


def squares(*residuals: Any) -> Any:
    total = 0
    for residual in residuals:
        total = total + residual * residual
    return total


def rosenbrock(m: Any, x: Any) -> Any:
    """[1]"""
    return squares(10 * (x[1] - x[0] * x[0]), 1 - x[0])


def freudenstein_roth(m: Any, x: Any) -> Any:
    """[2]"""
    return squares(-13 + x[0] + ((5 - x[1]) * x[1] - 2) * x[1], -29 + x[0] + ((x[1] + 1) * x[1] - 14) * x[1])


def powell_badly_scaled(m: Any, x: Any) -> Any:
    """[3]"""
    return squares(1e4 * x[0] * x[1] - 1, m.exp(-x[0]) + m.exp(-x[1]) - 1.0001)


def brown_badly_scaled(m: Any, x: Any) -> Any:
    """[4]"""
    return squares(x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2)


def beale(m: Any, x: Any) -> Any:
    """[5]"""
    return squares(1.5 - x[0] * (1 - x[1]), 2.25 - x[0] * (1 - x[1] ** 2), 2.625 - x[0] * (1 - x[1] ** 3))


def bard(m: Any, x: Any) -> Any:
    """[8]"""
    return squares(*(y - (x[0] + u / ((16 - u) * x[1] + min(u, 16 - u) * x[2])) for u, y in enumerate(BARD_Y, start=1)))


def gaussian(m: Any, x: Any) -> Any:
    """[9]"""
    both = [*GAUSSIAN_Y, *GAUSSIAN_Y[-2::-1]]
    return squares(*(x[0] * m.exp(-x[1] * (3.5 - 0.5 * i - x[2]) ** 2 / 2) - y for i, y in enumerate(both)))


def box(m: Any, x: Any) -> Any:
    """[12]"""
    times = [i / 10 for i in range(1, 11)]
    return squares(*(m.exp(-t * x[0]) - m.exp(-t * x[1]) - x[2] * (m.exp(-t) - m.exp(-10 * t)) for t in times))


def powell_singular(m: Any, x: Any) -> Any:
    """[13]"""
    return squares(x[0] + 10 * x[1], m.sqrt(5) * (x[2] - x[3]), (x[1] - 2 * x[2]) ** 2, m.sqrt(10) * (x[0] - x[3]) ** 2)


def wood(m: Any, x: Any) -> Any:
    """[14]"""
    return squares(
        10 * (x[1] - x[0] * x[0]),
        1 - x[0],
        m.sqrt(90) * (x[3] - x[2] * x[2]),
        1 - x[2],
        m.sqrt(10) * (x[1] + x[3] - 2),
        (x[1] - x[3]) / m.sqrt(10),
    )


def kowalik_osborne(m: Any, x: Any) -> Any:
    """[15]"""
    return squares(
        *(y - x[0] * (u * u + u * x[1]) / (u * u + u * x[2] + x[3]) for y, u in zip(KOWALIK_Y, KOWALIK_U, strict=True))
    )


def osborne_1(m: Any, x: Any) -> Any:
    """[17]"""
    values = [int(y) / 1000 for y in OSBORNE_Y.split()]
    return squares(
        *(y - (x[0] + x[1] * m.exp(-10 * i * x[3]) + x[2] * m.exp(-10 * i * x[4])) for i, y in enumerate(values))
    )


def watson(m: Any, x: Any) -> Any:
    """[20]"""
    found: list[Any] = []
    for i in range(1, 30):
        t = i / 29
        slope = sum(j * x[j] * t ** (j - 1) for j in range(1, len(x)))
        found.append(slope - sum(x[j] * t**j for j in range(len(x))) ** 2 - 1)
    return squares(*found, x[0], x[1] - x[0] * x[0] - 1)


def penalty_1(m: Any, x: Any) -> Any:
    """[23]"""
    return squares(*(m.sqrt(1e-5) * (t - 1) for t in x), sum(t * t for t in x) - 0.25)


def variably_dimensioned(m: Any, x: Any) -> Any:
    """[25]"""
    total = sum((j + 1) * (t - 1) for j, t in enumerate(x))
    return squares(*(t - 1 for t in x), total, total * total)


def trigonometric(m: Any, x: Any) -> Any:
    """[26]"""
    total = sum(m.cos(t) for t in x)
    return squares(*(len(x) - total + (i + 1) * (1 - m.cos(t)) - m.sin(t) for i, t in enumerate(x)))


def brown_almost_linear(m: Any, x: Any) -> Any:
    """[27]"""
    total, product = sum(x), 1
    for t in x:
        product = product * t
    return squares(*(t + total - (len(x) + 1) for t in x[:-1]), product - 1)


def inverse(m: Any, x: Any) -> Any:
    return 1 / x[0]


def fast_sine(m: Any, x: Any) -> Any:
    return m.sin(1000 * x[0])


def offset_8(m: Any, x: Any) -> Any:
    return 1e8 + m.exp(x[0]) * x[1]


def offset_12(m: Any, x: Any) -> Any:
    return 1e12 + m.exp(x[0]) * x[1]


def scales(m: Any, x: Any) -> Any:
    """Variables of sizes 1e-12, 1e12, 1 and 1e-6."""
    return m.exp(x[0] * 1e12 / 3) + (x[1] / 1e12) ** 3 + m.sin(x[2]) + m.cos(x[3] * 1e6)


def at_zero(m: Any, x: Any) -> Any:
    return m.exp(x[0]) + m.sin(1000 * x[1]) + x[2] * x[2]


def near_a_bound(m: Any, x: Any) -> Any:
    return m.log(x[0]) + m.sqrt(x[1])


def kinked(m: Any, x: Any) -> Any:
    """Beside a kink at x[0] = 0.3."""
    return 2 * abs(x[0] - 0.3) + x[0] * x[1] * x[1]


def linear(m: Any, x: Any) -> Any:
    return 3 * x[0] - 7 * x[1] + 2


def conditioned(m: Any, x: Any) -> Any:
    return 1e6 * x[0] * x[0] + x[1] * x[1] + 1e-6 * x[2] * x[2]


def mixed(m: Any, x: Any) -> Any:
    return m.sin(3 * x[0]) * m.exp(-x[1] * x[1]) + m.atan(x[0] * x[1])


def logistic(m: Any, x: Any) -> Any:
    """A logistic regression of four points."""
    data = ((1.0, 0.5, -1.2), (-0.3, 2.0, 0.7), (0.9, -1.1, 0.4), (-1.5, 0.2, 0.1))
    return sum(m.log(1 + m.exp(-(a * x[0] + b * x[1] + c * x[2]))) for a, b, c in data) / 4


MODELS: dict[str, Any] = {
    "Misra1a": lambda m, b, x: b[0] * (1 - m.exp(-b[1] * x)),
    "Thurber": lambda m, b, x: (b[0] + x * (b[1] + x * (b[2] + x * b[3]))) / (1 + x * (b[4] + x * (b[5] + x * b[6]))),
    "MGH09": lambda m, b, x: b[0] * (x * x + x * b[1]) / (x * x + x * b[2] + b[3]),
    "MGH10": lambda m, b, x: b[0] * m.exp(b[1] / (x + b[2])),
    "MGH17": lambda m, b, x: b[0] + b[1] * m.exp(-x * b[3]) + b[2] * m.exp(-x * b[4]),
    "Bennett5": lambda m, b, x: b[0] * m.exp(-m.log(b[1] + x) / b[2]),
    "Eckerle4": lambda m, b, x: b[0] / b[1] * m.exp(-(((x - b[2]) / b[1]) ** 2) / 2),
    "Rat43": lambda m, b, x: b[0] * m.exp(-m.log(1 + m.exp(b[1] - b[2] * x)) / b[3]),
    "BoxBOD": lambda m, b, x: b[0] * (1 - m.exp(-b[1] * x)),
    "Chwirut2": lambda m, b, x: m.exp(-b[0] * x) / (b[1] + b[2] * x),
}
"""Models of NIST's Statistical Reference Datasets for nonlinear regression, y = model(b, x)."""
