"""The problems: `python problems.py --write` computes the true gradients again and stores them beside this file."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from derivatives import formulas
from derivatives.arithmetic import FLOATS, exact_gradient
from optitrip.core.arrays import Array

HERE = Path(__file__).parent
NIST: dict[str, Any] = json.loads((HERE / "nist.json").read_text())
"""Data, starts and certified values of NIST's Statistical Reference Datasets (nonlinear regression; public domain)."""
MGH: dict[str, list[list[float]]] = {
    "rosenbrock": [[-1.2, 1], [1.0000001, 0.9999999]],
    "freudenstein_roth": [[0.5, -2]],
    "powell_badly_scaled": [[0, 1], [1.098159e-5, 9.106146]],
    "brown_badly_scaled": [[1, 1]],
    "beale": [[1, 1], [3, 0.5]],
    "bard": [[1, 1, 1], [0.08241, 1.133, 2.3437]],
    "gaussian": [[0.4, 1, 0]],
    "box": [[0, 10, 20]],
    "powell_singular": [[3, -1, 0, 1]],
    "wood": [[-3, -1, -3, -1]],
    "kowalik_osborne": [[0.25, 0.39, 0.415, 0.39], [0.192833, 0.190836, 0.123117, 0.135766]],
    "osborne_1": [[0.5, 1.5, -1, 0.01, 0.02], [0.3754, 1.9358, -1.4647, 0.01287, 0.02212]],
    "watson": [[0.0] * 6, [0.5] * 12],
    "penalty_1": [[1.0, 2, 3, 4]],
    "variably_dimensioned": [[0.75, 0.5, 0.25, 0]],
    "trigonometric": [[0.1] * 10],
    "brown_almost_linear": [[0.5] * 5],
}
HARD: dict[str, list[list[float]]] = {
    "inverse": [[1e-4], [1e-12], [1e8]],
    "fast_sine": [[0.3], [1e-5]],
    "offset_8": [[1, 2]],
    "offset_12": [[1, 2]],
    "scales": [[3e-12, 5e11, 2, 1e-6]],
    "at_zero": [[0, 0, 0]],
    "near_a_bound": [[1e-3, 1e-3]],
    "kinked": [[0.30001, 2], [0.2999999, -1], [0.31, 0.5]],
    "linear": [[3, 4]],
    "conditioned": [[5, 1, 1e-3]],
    "mixed": [[-1.3, 2.2]],
    "logistic": [[0.3, -2, 0.7], [0, 0, 0]],
}
NOISY = {"mixed", "logistic", "rosenbrock", "box", "kowalik_osborne", "osborne_1"}
NOISES = (1e-10, 1e-6, 1e-3)


@dataclass(frozen=True)
class Problem:
    """A loss of one array, a point, and the true gradient there."""

    name: str
    kind: str
    loss: Callable[[Array], float]
    x: Array
    gradient: Array


def residuals(name: str, m: Any, b: Any) -> Any:
    data = NIST[name]
    return formulas.squares(*(y - formulas.MODELS[name](m, b, x) for x, y in zip(data["x"], data["y"], strict=True)))


def points() -> Iterator[tuple[str, str, Callable[[Any, Any], Any], list[float]]]:
    """Yield name, kind, formula and point of every problem."""
    for kind, table in (("mgh", MGH), ("hard", HARD)):
        for name, starts in table.items():
            for number, start in enumerate(starts):
                yield f"{name} {number}", kind, getattr(formulas, name), [float(t) for t in start]
    for name, data in NIST.items():
        for number, start in enumerate(data["starts"]):
            yield f"{name} start {number + 1}", "nist", partial(residuals, name), start
        yield f"{name} certified", "nist", partial(residuals, name), data["certified"]


def evaluated(formula: Any, x: Array) -> float:
    return float(formula(FLOATS, x.tolist()))


def noisy(formula: Any, level: float, x: Array) -> float:
    """The loss with noise, relative to it, of standard deviation `level`: a fixed function of the bits of x."""
    word = int.from_bytes(x.tobytes(), "little") % (2**61 - 1)
    draws = [((word * factor) % (2**61 - 1)) / 2**61 for factor in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)]
    normal = math.sqrt(-2 * math.log(draws[0] + 2.0**-62)) * math.cos(2 * math.pi * draws[1])
    return evaluated(formula, x) * (1 + level * normal)


def single(formula: Any, x: Array) -> float:
    """The loss rounded to float32."""
    return float(np.float32(evaluated(formula, x)))


def problems() -> list[Problem]:
    """Make all problems."""
    true = json.loads((HERE / "true_gradients.json").read_text())
    made: list[Problem] = []
    for name, kind, formula, start in points():
        x, gradient = np.array(start), np.array(true[name])
        made.append(Problem(name, kind, partial(evaluated, formula), x, gradient))
        if name.endswith(" 0") and name.split()[0] in NOISY:
            made += [
                Problem(f"{name}, noise {level:g}", f"noise {level:g}", partial(noisy, formula, level), x, gradient)
                for level in NOISES
            ]
            made.append(Problem(f"{name}, float32", "float32", partial(single, formula), x, gradient))
    return made


def write() -> None:
    rows = [f" {json.dumps(name)}: {json.dumps(exact_gradient(formula, x))}" for name, _, formula, x in points()]
    (HERE / "true_gradients.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__" and "--write" in sys.argv:
    write()
