"""Compares a call of `optitrip.jac` with its raw differences, both side by side in this process.

uv run python tests/benchmarks/jac.py

The loss is a scalar product, which takes about a microsecond; raw are the same evaluations in a plain loop, or for the
classifier of digits, its structured differences alone. Turns alternate, and medians of the quotients are printed, which
other work on the machine changes less than times.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import approx_fprime

import optitrip
from optitrip.core.arrays import Array
from optitrip.objectives import Softmax

SIZES = (1, 2, 10, 100, 650)
SECONDS = 2.0


def square(x: Array) -> float:
    return float(x @ x)


def four_points(x: Array) -> Array:
    """The differences as one writes them by hand."""
    gradient, h = np.empty(len(x)), 1e-3 * np.abs(x)
    square(x)
    for i in range(len(x)):
        losses: list[float] = []
        for k in (1, -1, 2, -2):
            moved = x.copy()
            moved[i] += k * h[i]
            losses.append(square(moved))
        gradient[i] = (8 * (losses[0] - losses[1]) - losses[2] + losses[3]) / (12 * h[i])
    return gradient


def central_deltas(loss: Softmax, W: Array) -> Array:
    around: Any = loss.around(W)
    return around.deltas(np.tile(np.arange(W.size), 2), np.repeat([1e-6, -1e-6], W.size))


def seconds(turn: Callable[[], Any]) -> float:
    start = time.perf_counter()
    turn()
    return time.perf_counter() - start


def compared(turn: Callable[[], Any], raw: Callable[[], Any]) -> tuple[float, float]:
    """Return the median time of a turn in ms, and of its quotient with that of the raw one."""
    for one in (turn, raw):
        one()
    pairs: list[tuple[float, float]] = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        pairs.append((seconds(turn), seconds(raw)))
    return 1e3 * statistics.median(a for a, _ in pairs), statistics.median(a / b for a, b in pairs)


def main() -> None:
    print(f"{'':28s}{'ms a call':>12s}{'of the raw':>12s}{'SciPy 2-point':>15s}")
    for n in SIZES:
        x = np.linspace(1, 2, n)
        raw = partial(four_points, x)
        ms, ratio = compared(partial(optitrip.jac(square, x), x), raw)
        _, scipys = compared(partial(approx_fprime, x, square), raw)
        print(f"{f'scalar product, n = {n}':28s}{ms:>12.3f}{ratio:>12.2f}{scipys:>15.2f}", flush=True)
    loss, W = Softmax(data="digits"), 0.01 * np.random.default_rng(0).standard_normal((10, 65))
    with optitrip.Session(executor="serial") as session:
        for name, function in (("digits", optitrip.jac(loss, W)), ("digits in a session", session.jac(loss, W))):
            ms, ratio = compared(partial(function, W), partial(central_deltas, loss, W))
            print(f"{name:28s}{ms:>12.3f}{ratio:>12.2f}{'':>15s}", flush=True)


if __name__ == "__main__":
    main()
