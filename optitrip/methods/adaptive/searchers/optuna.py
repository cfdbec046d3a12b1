"""The samplers of the package Optuna, by default its tree-structured Parzen estimator.

T. Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization Framework", KDD 2019.
"""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.differences import nearest
from optitrip.methods.adaptive.cube import Cube

END = "Sampler"
"""End of the names of Optuna's classes of samplers."""


class Optuna:
    """One of Optuna's samplers.

    Args:
        cube: the unit cube. Ranges are floats to Optuna, whole numbers integers, and choices categories.
        seed: seed of the sweep.
        batch: number of points that are asked for at a time.
        sampler: name of the class of the sampler without its end, e.g. "TPE", "GP" or "CmaEs".
        options: options of the sampler, by name.

    Raises:
        ValueError: for the name of no sampler.
    """

    def __init__(self, cube: Cube, seed: int, batch: int, *, sampler: str = "TPE", **options: Any) -> None:
        import optuna

        known = [name.removesuffix(END) for name in dir(optuna.samplers) if name.endswith(END) and name != f"Base{END}"]
        if sampler not in known:
            raise ValueError(f"sampler was {sampler!r}; {nearest(sampler, known)}")
        kinds = optuna.distributions
        self._levels = np.array(cube.levels)
        self._distributions: dict[str, Any] = {}
        for name, levels, ordered in zip(cube.names, cube.levels, cube.ordered, strict=True):
            if not levels:
                self._distributions[name] = kinds.FloatDistribution(0.0, 1.0)
            elif ordered:
                self._distributions[name] = kinds.IntDistribution(0, levels - 1)
            else:
                self._distributions[name] = kinds.CategoricalDistribution(range(levels))
        # Without it, the points of a batch would be asked for as if nothing were known of one another.
        parallel = {"constant_liar": True} if sampler == "TPE" and batch > 1 else {}
        with quiet(optuna):
            made: Any = getattr(optuna.samplers, sampler + END)(**{"seed": seed % 2**32, **parallel, **options})
            self._study: Any = optuna.create_study(sampler=made)
        self._optuna: Any = optuna
        self._trials: list[Any] = []

    def ask(self, count: int) -> Array:
        with quiet(self._optuna):
            self._trials = [self._study.ask(self._distributions) for _ in range(count)]
        chosen = np.array([[trial.params[name] for name in self._distributions] for trial in self._trials], np.float64)
        return np.where(self._levels > 0, (chosen + 0.5) / np.maximum(self._levels, 1), chosen)

    def tell(self, points: Array, losses: Array) -> None:
        del points  # the study knows them
        failed = self._optuna.trial.TrialState.FAIL
        with quiet(self._optuna):
            for trial, loss in zip(self._trials, losses.tolist(), strict=True):
                if np.isfinite(loss):
                    self._study.tell(trial, loss)
                else:
                    self._study.tell(trial, state=failed)


@contextmanager
def quiet(optuna: Any) -> Generator[None]:
    """Hide Optuna's lines on each study and trial, and that an option is experimental."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)
