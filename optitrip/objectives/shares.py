"""Test functions of sensitivity analysis, whose Sobol' indices are known. Their variables are scalars."""

from dataclasses import dataclass
from math import pi, prod
from typing import ClassVar

import numpy as np

from optitrip.core.arrays import Array

Indices = dict[str, tuple[float, float]]
"""First-order and total index of each variable."""


@dataclass(frozen=True)
class Ishigami:
    """f(x1, x2, x3) = sin x1 + a sin(x2)^2 + b x3^4 sin x1, each uniform from -pi to pi.

    T. Ishigami, T. Homma, "An importance quantification technique in uncertainty analysis for computer models",
    Proceedings of ISUMA '90, 1990. x3 matters only together with x1.
    """

    a: float = 7.0
    b: float = 0.1
    block: ClassVar[int] = 4096
    """Points in a block."""

    def __call__(self, x1: float, x2: float, x3: float) -> float:
        """Return f at one point."""
        return float(self.losses(np.array([x1]), np.array([x2]), np.array([x3]))[0])

    def losses(self, x1: Array, x2: Array, x3: Array) -> Array:
        """Return f at each of n points, whose coordinates are arrays of shape (n,); float64."""
        return (1 + self.b * np.square(np.square(x3))) * np.sin(x1) + self.a * np.square(np.sin(x2))

    def indices(self) -> Indices:
        """Return the Sobol' indices, from the variances of the terms of f's decomposition."""
        alone1, alone2 = (1 + self.b * pi**4 / 5) ** 2 / 2, self.a**2 / 8
        with3 = self.b**2 * pi**8 * (1 / 18 - 1 / 50)
        whole = alone1 + alone2 + with3
        return {
            "x1": (alone1 / whole, (alone1 + with3) / whole),
            "x2": (alone2 / whole, alone2 / whole),
            "x3": (0.0, with3 / whole),
        }


@dataclass(frozen=True)
class SobolG:
    """f(x1, ..., xd) = prod_i (|4 x_i - 2| + a_i) / (1 + a_i), each uniform from 0 to 1.

    The smaller a_i is, the more x_i matters.

    I. M. Sobol', "Sensitivity estimates for nonlinear mathematical models", Mathematical Modelling and Computational
    Experiments 1, 1993; A. Saltelli, I. M. Sobol', Reliability Engineering and System Safety 50, 1995, has these a.
    """

    a: tuple[float, ...] = (0.0, 1.0, 4.5, 9.0, 99.0, 99.0, 99.0, 99.0)
    block: ClassVar[int] = 4096
    """Points in a block."""

    def __call__(self, **x: float) -> float:
        """Return f at one point, given as x1, x2 and so on."""
        return float(self.losses(**{name: np.array([value]) for name, value in x.items()})[0])

    def losses(self, **x: Array) -> Array:
        """Return f at each of n points, whose coordinates are arrays of shape (n,); float64.

        Raises:
            ValueError: if the variables are not x1 to xd, with d the length of a.
        """
        if sorted(x) != sorted(names := self.names):
            raise ValueError(f"the variables are {', '.join(sorted(x))}, wanted {', '.join(names)} for a = {self.a}")
        found = np.ones(len(x["x1"]))
        for name, a in zip(names, self.a, strict=True):
            found *= (np.abs(4 * x[name] - 2) + a) / (1 + a)
        return found

    @property
    def names(self) -> list[str]:
        """Names of the variables."""
        return [f"x{number}" for number in range(1, len(self.a) + 1)]

    def indices(self) -> Indices:
        """Return the Sobol' indices: factor i alone has the variance v_i = 1 / 3 (1 + a_i)^2."""
        own = [1 / (3 * (1 + a) ** 2) for a in self.a]
        every = prod(1 + v for v in own)
        return {
            name: (v / (every - 1), v / (1 + v) * every / (every - 1)) for name, v in zip(self.names, own, strict=True)
        }
