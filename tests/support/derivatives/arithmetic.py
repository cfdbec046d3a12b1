"""The functions that a formula needs, for floats and with many digits: one formula is both the loss and the truth."""

from __future__ import annotations

import math
from typing import Any, Protocol

import mpmath

DIGITS, STEP = 160, -50
"""Digits, and the exponent of the step relative to x; an entry below 1e-60 is 0."""


class Arithmetic(Protocol):
    """Functions of one number, and numbers from text."""

    def exp(self, x: Any, /) -> Any: ...
    def log(self, x: Any, /) -> Any: ...
    def sin(self, x: Any, /) -> Any: ...
    def cos(self, x: Any, /) -> Any: ...
    def atan(self, x: Any, /) -> Any: ...
    def sqrt(self, x: Any, /) -> Any: ...


class Exact:
    """Arithmetic with many digits."""

    def __getattr__(self, name: str) -> Any:
        return getattr(mpmath, name)


FLOATS: Any = math
EXACT: Any = Exact()


def exact_gradient(formula: Any, x: list[float]) -> list[float]:
    """Differentiate a formula at a point with 160 digits, by central differences with a step of 1e-50."""
    with mpmath.workdps(DIGITS):
        gradient: list[Any] = []
        for k, entry in enumerate(x):
            size = max(abs(entry), 1e-6)
            points = [[mpmath.mpf(value) for value in x] for _ in range(2)]
            h = mpmath.mpf(size) * mpmath.mpf(10) ** STEP
            points[0][k] += h
            points[1][k] -= h
            gradient.append((formula(EXACT, points[0]) - formula(EXACT, points[1])) / (2 * h))
        return [float(value) if abs(value) > 1e-60 else 0.0 for value in gradient]
