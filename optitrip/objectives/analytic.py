"""Test functions of optimisation with known minimum and gradient. To add one, add a class, and a line in
`objectives/__init__.py`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from optitrip.core.arrays import Array


@dataclass(frozen=True)
class Analytic(ABC):
    """A function of x, shape (d,), computed in float64; a subclass adds its formula and gradient, and its minimum
    unless that is 0 at 0. A dimension for which it is not defined raises ValueError.

    `_values` takes x of shape (..., d) and sums over the last axis, which adds up a row in the same order whatever the
    other rows are. (Coordinates first would not: NumPy adds up a single column in another order than many.)
    """

    block: ClassVar[int] = 4096
    """Candidates in a block: of 256 to 16,384 the fastest for d = 10, or within 3 % of it; smaller ones pay for calls,
    larger ones leave the cache."""
    dimensions: ClassVar[range] = range(1, 2**31)
    minimum_at: ClassVar[float | tuple[float, ...]] = 0.0
    """Coordinates of the minimum, or the value of all of them."""
    least_per_dimension: ClassVar[float] = 0.0
    """Value at the minimum, divided by d."""

    def __call__(self, x: Array) -> float:
        """Return f(x), x of shape (d,)."""
        return float(self._values(self._checked(x, batch=False))[0])

    def losses(self, x: Array) -> Array:
        """Return f of each row of x, shape (n, d); float64 of shape (n,)."""
        return self._values(self._checked(x, batch=True))

    def gradient(self, x: Array) -> Array:
        """Return df/dx at x, float64 of the shape of x, (d,)."""
        return self._slope(self._checked(x, batch=False)[0])

    def minimum(self, dimension: int) -> Array:
        """Return the place of the least value, float64 of shape (dimension,)."""
        return np.full(self._checked(np.zeros(dimension), batch=False).size, self.minimum_at)

    def least(self, dimension: int) -> float:
        """Return the least value."""
        return self._checked(np.zeros(dimension), batch=False).size * self.least_per_dimension

    @abstractmethod
    def _values(self, x: Array) -> Array: ...

    @abstractmethod
    def _slope(self, x: Array) -> Array: ...

    def _checked(self, x: Array, *, batch: bool) -> Array:
        """Return x as contiguous float64 of shape (n, d), n = 1 without batch: NumPy rounds by the layout in memory."""
        shape = np.shape(x)
        vector = shape[1:] if batch else shape
        if len(vector) != 1 or vector[0] not in self.dimensions:
            least = self.dimensions.start
            d = f"d = {least}" if len(self.dimensions) == 1 else f"d of at least {least}"
            raise ValueError(f"x has shape {vector}, wanted (d,) with {d} for {type(self).__name__}")
        return np.ascontiguousarray(x, dtype=np.float64).reshape(-1, vector[0])


@dataclass(frozen=True)
class Sphere(Analytic):
    """f(x) = sum_i x_i^2; least at 0.

    K. A. De Jong, "An analysis of the behavior of a class of genetic adaptive systems", 1975, function F1.
    """

    def _values(self, x: Array) -> Array:
        return np.einsum("nd,nd->n", x, x)  # a third of the time of squaring and then summing

    def _slope(self, x: Array) -> Array:
        return 2 * x


@dataclass(frozen=True)
class Rosenbrock(Analytic):
    """f(x) = sum_(i < d) 100 (x_(i+1) - x_i^2)^2 + (1 - x_i)^2, d >= 2; least at (1, ..., 1).

    H. H. Rosenbrock, "An automatic method for finding the greatest or least value of a function", The Computer
    Journal 3, 1960, chained to d variables as in `scipy.optimize.rosen`. From d = 4 on it has another, local minimum
    near (-1, 1, ..., 1) (Y.-W. Shang, Y.-H. Qiu, Evolutionary Computation 14, 2006).
    """

    dimensions = range(2, 2**31)
    minimum_at = 1.0

    def _values(self, x: Array) -> Array:
        here, after = x[..., :-1], x[..., 1:]
        return (100 * np.square(after - np.square(here)) + np.square(1 - here)).sum(axis=-1)

    def _slope(self, x: Array) -> Array:
        here, above = x[:-1], x[1:] - np.square(x[:-1])
        slope = np.zeros_like(x)
        slope[:-1] = -400 * here * above - 2 * (1 - here)
        slope[1:] += 200 * above
        return slope


@dataclass(frozen=True)
class Rastrigin(Analytic):
    """f(x) = 10 d + sum_i x_i^2 - 10 cos(2 pi x_i); least at 0, with a local minimum near every whole point.

    L. A. Rastrigin, "Systems of extremal control", 1974; for any d, H. Muehlenbein, D. Schomisch, J. Born, "The
    parallel genetic algorithm as function optimizer", Parallel Computing 17, 1991.
    """

    def _values(self, x: Array) -> Array:
        # 10 - 10 cos(2 t) = 20 sin(t)^2, which keeps its digits where the two terms cancel.
        return (np.square(x) + 20 * np.square(np.sin(np.pi * x))).sum(axis=-1)

    def _slope(self, x: Array) -> Array:
        return 2 * x + 20 * np.pi * np.sin(2 * np.pi * x)


@dataclass(frozen=True)
class Ackley(Analytic):
    """f(x) = 20 + e - 20 exp(-0.2 sqrt(mean_i x_i^2)) - exp(mean_i cos(2 pi x_i)); least at 0.

    D. H. Ackley, "A connectionist machine for genetic hillclimbing", 1987, with the constants in use since T. Baeck,
    "Evolutionary algorithms in theory and practice", 1996.
    """

    def _values(self, x: Array) -> Array:
        # 20 - 20 exp(a) and e - exp(1 + b) by expm1, and b = mean cos(2 t) - 1 = -2 mean sin(t)^2: written as above,
        # the value at 0 would be 4e-16, with errors as large near it.
        radius = np.sqrt(np.square(x).mean(axis=-1))
        waves = -2 * np.square(np.sin(np.pi * x)).mean(axis=-1)
        return -20 * np.expm1(-0.2 * radius) - np.e * np.expm1(waves)

    def _slope(self, x: Array) -> Array:
        radius = np.sqrt(np.square(x).mean())
        # The minimum is the tip of a cone, where x / radius is 0 / 0 and no gradient exists. 0 is returned there: the
        # subgradient that a method may stop at, and the value of central differences by symmetry.
        cone = 4 * np.exp(-0.2 * radius) * x / radius if radius else np.zeros_like(x)
        waves = 2 * np.pi * np.exp(np.cos(2 * np.pi * x).mean()) * np.sin(2 * np.pi * x)
        return (cone + waves) / len(x)


@dataclass(frozen=True)
class Beale(Analytic):
    """f(x, y) = (1.5 - x + x y)^2 + (2.25 - x + x y^2)^2 + (2.625 - x + x y^3)^2; least at (3, 1/2).

    E. M. L. Beale, "On an iterative method for finding a local minimum of a function of more than one variable",
    1958; J. J. More, B. S. Garbow, K. E. Hillstrom, "Testing unconstrained optimization software", ACM TOMS 7, 1981,
    problem 5.
    """

    dimensions = range(2, 3)
    minimum_at = (3.0, 0.5)

    def _values(self, x: Array) -> Array:
        first, y = x[..., 0], x[..., 1]
        return (
            np.square(1.5 - first * (1 - y))
            + np.square(2.25 - first * (1 - np.square(y)))
            + np.square(2.625 - first * (1 - y * y * y))
        )

    def _slope(self, x: Array) -> Array:
        first, y = x
        powers = y ** np.arange(1, 4)
        residuals = np.array([1.5, 2.25, 2.625]) - first * (1 - powers)
        inner = np.arange(1, 4) * y ** np.arange(3)
        return 2 * np.array([residuals @ (powers - 1), first * (residuals @ inner)])


@dataclass(frozen=True)
class StyblinskiTang(Analytic):
    """f(x) = sum_i (x_i^4 - 16 x_i^2 + 5 x_i) / 2; least at (-2.9035, ..., -2.9035), where it is -39.166 d.

    Each coordinate has a second, local minimum at 2.7468, so there are 2^d of them. M. A. Styblinski, T.-S. Tang,
    "Experiments in nonconvex optimization: stochastic approximation with function smoothing and simulated annealing",
    Neural Networks 3, 1990.
    """

    minimum_at = -2.903534027771177095
    """Lowest root of 4 x^3 - 32 x + 5, the derivative of twice a term."""
    least_per_dimension = -39.16616570377141546

    def _values(self, x: Array) -> Array:
        return (x * ((np.square(x) - 16) * x + 5)).sum(axis=-1) / 2

    def _slope(self, x: Array) -> Array:
        return (2 * np.square(x) - 16) * x + 2.5
