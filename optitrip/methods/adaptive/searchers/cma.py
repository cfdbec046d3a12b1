"""CMA-ES, the evolution strategy that adapts its covariance matrix, of the package cma.

N. Hansen, "The CMA Evolution Strategy: A Tutorial", arXiv:1604.00772, 2016.
"""

from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.methods.adaptive.cube import Cube

SIGMA = 0.25
"""Standard deviation at first: the sides of the cube have the length 1."""


class Cma:
    """An evolution strategy with one generation a batch. It begins at the middle of the cube, and once it has converged
    anew at a random point.

    Args:
        cube: the unit cube.
        seed: seed of the sweep.
        batch: number of points of a generation.
        sigma: standard deviation at first.
        options: options of `cma.CMAEvolutionStrategy`, by name.
    """

    def __init__(self, cube: Cube, seed: int, batch: int, *, sigma: float = SIGMA, **options: Any) -> None:
        self._size, self._batch, self._sigma, self._options = cube.size, batch, sigma, options
        self._random = np.random.default_rng([seed % 2**64, *b"cma"])
        self._worst = 0.0
        self._begin(np.full(cube.size, 0.5))

    @staticmethod
    def check(cube: Cube, batch: int) -> None:
        """Raise ValueError for a space or a batch that does not suit it."""
        if cube.size < 2:
            raise ValueError('was "cma", which needs at least two numbers to choose; use "optuna"')
        if not all(cube.ordered):
            name = cube.names[cube.ordered.index(False)]
            raise ValueError(f'was "cma", but {name} is a choice, whose options have no order; use "optuna"')
        if batch < 3:
            raise ValueError(f'was "cma", which needs a batch of at least 3, and it is {batch}; use "optuna"')

    def _begin(self, start: Array) -> None:
        import cma

        own = {"bounds": [0, 1], "popsize": self._batch, "verbose": -9, "verb_log": 0}
        # Its own `seed` would be that of NumPy's global stream.
        random = {"randn": self._normal, "seed": np.nan}
        self._strategy: Any = cma.CMAEvolutionStrategy(start, self._sigma, {**own, **self._options, **random})
        self._asked: list[Array] = []

    def _normal(self, *shape: Any) -> Array:
        return self._random.standard_normal(shape[0] if len(shape) == 1 else shape)

    def ask(self, count: int) -> Array:
        self._asked = self._strategy.ask(count)
        return np.clip(self._asked, 0, 1)

    def tell(self, points: Array, losses: Array) -> None:
        """Learn from losses; those that failed count as the worst so far."""
        del points  # the strategy wants its own arrays back
        found = losses[np.isfinite(losses)]
        if not len(found):
            return
        self._worst = max(self._worst, float(found.max()))
        self._strategy.tell(self._asked, np.where(np.isfinite(losses), losses, self._worst).tolist())
        if self._strategy.stop():
            self._begin(self._random.random(self._size))
