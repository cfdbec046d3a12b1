"""Problems of applications and of other collections: `python others.py --write` computes their gradients again."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from derivatives import applications, functions
from derivatives.arithmetic import exact_gradient
from derivatives.problems import HERE, NOISES, Problem, evaluated, noisy, single
from optitrip.core.arrays import Array

FILE = HERE / "other_gradients.json"
ROUNDED = {"hs71": 3, "branin": 6, "mixture": 4, "call_option": 2, "hs100": 1, "predators": 8}
"""Functions that are also tried rounded to some decimals, as printed by another program."""
EXACT_ONLY = {"hundred", "twenty_scales", "relu_net", "hinge", "waves_far_away"}
"""Functions that are not tried with noise."""


def points() -> Iterator[tuple[str, str, Any, list[float]]]:
    """Yield name, kind, formula and point of every problem."""
    for kind, module in (("functions", functions), ("applications", applications)):
        for name, starts in module.STARTS.items():
            for number, start in enumerate(starts):
                yield f"{name} {number}", kind, getattr(module, name), [float(t) for t in start]


def rounded(formula: Any, decimals: int, x: Array) -> float:
    """The loss rounded to decimals."""
    return round(evaluated(formula, x), decimals)


def other_problems() -> list[Problem]:
    """Make all problems; the level of their noise, rounding and float32 take turns."""
    true = json.loads(FILE.read_text())
    made: list[Problem] = []
    for name, kind, formula, start in points():
        x, gradient = np.array(start), np.array(true[name])
        word, _, number = name.partition(" ")
        made.append(Problem(name, kind, partial(evaluated, formula), x, gradient))
        if word not in EXACT_ONLY:
            level = NOISES[len(made) % 3]
            made.append(Problem(f"{name}, noise {level:g}", "with noise", partial(noisy, formula, level), x, gradient))
        if word in ROUNDED and number == "0":
            loss = partial(rounded, formula, ROUNDED[word])
            made.append(Problem(f"{name} to {ROUNDED[word]} decimals", "rounded", loss, x, gradient))
            made.append(Problem(f"{name}, float32", "rounded", partial(single, formula), x, gradient))
    return made


def write() -> None:
    rows = [f" {json.dumps(name)}: {json.dumps(exact_gradient(formula, x))}" for name, _, formula, x in points()]
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


if __name__ == "__main__" and "--write" in sys.argv:
    write()
