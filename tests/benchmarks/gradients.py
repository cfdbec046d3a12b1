"""Compares numeric gradients with those of other libraries, on problems with known derivatives.

PYTHONPATH=tests/support uv run --group bench python tests/benchmarks/gradients.py

Rows are kinds of problems, with the worst and the median relative error over all entries; `*` marks the best of each.
Every peer may use as many evaluations as optitrip did: scipy.differentiate takes the largest order and number of
halvings that fit, numdifftools as many Richardson terms; SciPy's forward and central differences and the textbook's
have no use for more than two. `unsure` is the share
of entries whose error optitrip estimates at over 100 %, `covered` that of entries within their error, and `bar / error`
the median quotient of both.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.differentiate import derivative
from scipy.optimize import approx_fprime
from scipy.optimize._numdiff import approx_derivative

import optitrip
from derivatives.problems import Problem, problems
from optitrip.core.arrays import Array

Peer = Callable[[Problem, int], Array]


def along(problem: Problem, k: int) -> Callable[[float], float]:
    """The loss along one coordinate."""

    def loss(t: float) -> float:
        x = problem.x.copy()
        x[k] = t
        return problem.loss(x)

    return loss


def scipy_forward(problem: Problem, evaluations: int) -> Array:
    found: Any = approx_derivative(problem.loss, problem.x, method="2-point")
    return np.atleast_1d(found)


def scipy_central(problem: Problem, evaluations: int) -> Array:
    found: Any = approx_derivative(problem.loss, problem.x, method="3-point")
    return np.atleast_1d(found)


def scipy_differentiate(problem: Problem, evaluations: int) -> Array:
    """Steps from its default, 0.5, are halved as often as the evaluations allow, two at a time after the first nine."""
    halvings = max(1, (evaluations - 9) // 2 + 1) if evaluations >= 9 else 1
    order = min(8, max(2, (evaluations - 1) // 2 * 2))
    found: list[float] = []
    for k, x in enumerate(problem.x):
        one = along(problem, k)
        each: Any = np.vectorize(one, otypes=[float])
        step = 0.5 * max(abs(x), 1e-2)
        found.append(float(derivative(each, x, order=order, maxiter=halvings, initial_step=step).df))
    return np.array(found)


def numdifftools(problem: Problem, evaluations: int) -> Array:
    import numdifftools  # pyright: ignore[reportMissingImports]

    steps = max(2, evaluations // 2)
    return np.array(
        [
            float(numdifftools.Derivative(along(problem, k), num_steps=steps, step_nom=max(abs(x), 1e-2))(x))
            for k, x in enumerate(problem.x)
        ]
    )


def textbook(problem: Problem, evaluations: int) -> Array:
    """Forward differences with a step of 1e-4, as in the course."""
    found: Any = approx_fprime(problem.x, problem.loss, 1e-4)
    return np.asarray(found)


PEERS: dict[str, Peer] = {
    "textbook": textbook,
    "scipy 2-point": scipy_forward,
    "scipy 3-point": scipy_central,
    "scipy.differentiate": scipy_differentiate,
    "numdifftools": numdifftools,
}


NAMES = {
    "optitrip": "optitrip",
    "textbook": "textbook",
    "scipy 2-point": "scipy 2-point",
    "scipy 3-point": "scipy 3-point",
    "scipy.differentiate": "differentiate",
    "numdifftools": "numdifftools",
}
"""Heads of the columns by peer; `differentiate` is SciPy's."""
HARD = {
    **dict.fromkeys(("inverse", "scales", "conditioned"), "badly scaled"),
    **dict.fromkeys(("at_zero", "fast_sine"), "near zero"),
    **dict.fromkeys(("offset_8", "offset_12"), "offset"),
    "near_a_bound": "bounded",
    "kinked": "beside a kink",
    **dict.fromkeys(("linear", "mixed", "logistic"), "others"),
}
"""Rows of the hard problems, by name."""


def relative(problem: Problem, found: Array) -> Array:
    """Return the relative errors; those of entries that are 0 but for rounding are relative to the largest entry."""
    size = np.abs(problem.gradient)
    error = np.abs(found - problem.gradient) / np.maximum(size, 1e-12 * size.max() or 1.0)
    return np.where(np.isfinite(error), error, np.inf)


def row(some: list[Problem]) -> dict[str, Any]:
    errors: dict[str, list[Array]] = {name: [] for name in ("optitrip", *PEERS)}
    covered: list[Array] = []
    unsure: list[Array] = []
    quotients: list[Array] = []
    evaluations = entries = 0
    for problem in some:
        found = optitrip.gradient(problem.loss, problem.x, executor="serial")
        numeric, bar = found.gradient["x"], found.error["x"]
        true = np.abs(numeric - problem.gradient)
        errors["optitrip"].append(relative(problem, numeric))
        covered.append(true <= bar)
        unsure.append(bar > np.abs(numeric))
        quotients.append(bar / np.maximum(true, 1e-300))
        evaluations, entries = evaluations + found.evaluations, entries + len(numeric)
        for name, peer in PEERS.items():
            try:
                there = peer(problem, found.evaluations // len(numeric))
            except Exception:  # a peer that fails has no digit right
                there = np.full(len(numeric), np.nan)
            errors[name].append(relative(problem, there))
    joined = {name: np.concatenate(parts) for name, parts in errors.items()}
    return {
        "errors": {name: (float(values.max()), float(np.median(values))) for name, values in joined.items()},
        "covered": float(np.concatenate(covered).mean()),
        "unsure": float(np.concatenate(unsure).mean()),
        "quotient": float(np.median(np.concatenate(quotients))),
        "evaluations": evaluations / entries,
    }


def kind_of(problem: Problem) -> str:
    """Return the row of a problem."""
    if problem.kind == "nist" and problem.name.endswith("certified"):
        return "at a solution"
    return HARD.get(problem.name.split()[0], problem.kind)


def cell(found: dict[str, Any], name: str) -> str:
    """Return the worst and the median error, each marked if it is the least of all."""
    both = [
        f"{found['errors'][name][k]:.0e}".replace("e-0", "e-")
        + "*" * (found["errors"][name][k] <= min(errors[k] for errors in found["errors"].values()))
        for k in (0, 1)
    ]
    return f"{both[0]:>7s}{both[1]:>7s}"


def main() -> None:
    by_kind: dict[str, list[Problem]] = {}
    for problem in problems():
        by_kind.setdefault(kind_of(problem), []).append(problem)
    print(f"{'':14s}" + "".join(f"{name:>14s}" for name in NAMES.values()))
    print(f"{'':14s}" + f"{'worst':>7s}{'median':>7s}" * len(NAMES))
    told: list[str] = []
    for kind, some in by_kind.items():
        found = row(some)
        cells = "".join(cell(found, name) for name in NAMES)
        print(f"{kind:14s}{cells}", flush=True)
        told.append(
            f"{kind:20s}{found['covered']:>10.1%}{found['quotient']:>14.1f}{found['unsure']:>10.1%}"
            f"{found['evaluations']:>14.1f}"
        )
    print(f"\n{'':20s}{'covered':>10s}{'bar / error':>14s}{'unsure':>10s}{'evaluations':>14s}")
    print("\n".join(told))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with np.errstate(all="ignore"):
        main()
