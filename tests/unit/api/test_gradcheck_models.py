"""Checks of hand-written gradients of models in statistics and physics: right ones pass, planted bugs do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import optitrip
from optitrip.core.arrays import Array
from optitrip.methods.gradient.checking.comparison import Comparison

RNG = np.random.default_rng(3)
X, COUNTS = RNG.standard_normal((20, 3)), RNG.integers(0, 4, 20)
Y = X @ np.array([1.0, -2.0, 0.5]) + 0.1 * RNG.standard_normal(20)
TIMES, DIED = RNG.exponential(1, 20), RNG.integers(0, 2, 20)
LATEST = np.argsort(-TIMES)
RATINGS, SEEN = RNG.standard_normal((5, 4)), (RNG.random((5, 4)) < 0.6).astype(float)
ATOMS = np.array([[0, 0, 0], [1.1, 0, 0], [0, 1.2, 0.1], [0.9, 1.0, 0.8]])
SQUARES = (X[:8, None] - X[None, :8]) ** 2
Gradient = dict[str, Array]


def poisson(w: Array) -> float:
    return float(np.mean(np.exp(X @ w) - COUNTS * (X @ w)) + 0.05 * w @ w)


def poisson_gradient(w: Array, l2: float = 0.1, rows: int = 20, shift: int = 0) -> Gradient:
    residual = (np.exp(X @ w) - np.roll(COUNTS, shift))[:rows]
    return {"w": residual @ X[:rows] / 20 + l2 * w}


def network(V: Array, b: Array, u: Array) -> float:
    return float(np.mean((np.tanh(X @ V.T + b) @ u - Y) ** 2))


def network_gradient(
    V: Array, b: Array, u: Array, bias: float = 1, chain: bool = True, mean: float = 20, single: bool = False
) -> Gradient:
    hidden = np.tanh(X @ V.T + b)
    hidden = hidden.astype(np.float32).astype(float) if single else hidden
    off = 2 * (hidden @ u - Y) / mean
    inner = np.outer(off, u) * (1 - hidden**2 if chain else 1)
    return {"V": inner.T @ X, "b": bias * inner.sum(axis=0), "u": hidden.T @ off}


def cox(w: Array) -> float:
    scores = (X @ w)[LATEST]
    return float(-np.sum(DIED[LATEST] * (scores - np.log(np.cumsum(np.exp(scores))))))


def cox_gradient(w: Array, order: Array = LATEST, events: Array = DIED, own: bool = True) -> Gradient:
    weights = np.exp(X @ w)[order]
    means = np.cumsum(weights[:, None] * X[order], axis=0) / np.cumsum(weights)[:, None]
    return {"w": -np.sum(events[order][:, None] * ((X[order] if own else 0) - means), axis=0)}


def factors(U: Array, M: Array) -> float:
    return float(np.sum(SEEN * (RATINGS - U @ M.T) ** 2) + 0.1 * np.sum(U**2))


def factors_gradient(U: Array, M: Array, seen: Array = SEEN, l2: float = 0.2, on_m: float = 0.0) -> Gradient:
    off = -2 * seen * (RATINGS - U @ M.T)
    return {"U": off @ M + l2 * U, "M": off.T @ U + on_m * M}


def process(lengths: Array, noise: float) -> float:
    K = np.exp(-0.5 * np.sum(SQUARES * np.exp(-2 * lengths), axis=2)) + np.exp(2 * noise) * np.eye(8)
    L = np.linalg.cholesky(K)
    return float(0.5 * np.sum(np.linalg.solve(L, Y[:8]) ** 2) + np.sum(np.log(np.diag(L))))


def process_gradient(lengths: Array, noise: float, logdet: float = 1, square: float = 2) -> dict[str, Any]:
    S = np.exp(-0.5 * np.sum(SQUARES * np.exp(-2 * lengths), axis=2))
    inverse = np.linalg.inv(S + np.exp(2 * noise) * np.eye(8))
    weights = 0.5 * (logdet * inverse - np.outer(inverse @ Y[:8], inverse @ Y[:8]))
    by_length = [np.sum(weights * S * SQUARES[:, :, k] * np.exp(-2 * lengths[k])) for k in range(3)]
    return {"lengths": np.array(by_length), "noise": np.trace(weights) * square * np.exp(2 * noise)}


def atoms(r: Array) -> float:
    i, j = np.triu_indices(4, 1)
    squares = np.sum((r[i] - r[j]) ** 2, axis=1)
    return float(np.sum(4 * (squares**-6 - squares**-3)))


def atoms_gradient(r: Array, pairs: int = 6, power: float = 4, newton: float = 1) -> Gradient:
    i, j = (places[:pairs] for places in np.triu_indices(4, 1))
    apart = r[i] - r[j]
    squares = np.sum(apart**2, axis=1)
    force = (4 * (-12 * squares**-7 + 6 * squares**-power))[:, None] * apart
    found = np.zeros_like(r)
    np.add.at(found, i, force)
    np.add.at(found, j, -newton * force)
    return {"r": found}


W, V, B = RNG.standard_normal(3) / 3, RNG.standard_normal((4, 3)) / 2, RNG.standard_normal(4) / 9
MODELS: dict[str, tuple[Any, dict[str, Any], Callable[..., Any], dict[str, dict[str, Any]]]] = {
    "Poisson regression": (
        poisson,
        {"w": W},
        poisson_gradient,
        {
            "no regulariser": {"l2": 0.0},
            "half of it": {"l2": 0.05},
            "the last row": {"rows": 19},
            "rows shifted": {"shift": 1},
        },
    ),
    "two layers": (
        network,
        {"V": V, "b": B, "u": B + 0.5},
        network_gradient,
        {
            "no bias": {"bias": 0.0},
            "chain rule": {"chain": False},
            "sum for mean": {"mean": 1},
            "a cast": {"single": True},
            "one row fewer in the mean": {"mean": 19},
        },
    ),
    "Cox regression": (
        cox,
        {"w": W},
        cox_gradient,
        {
            "risk set the wrong way": {"order": LATEST[::-1]},
            "censoring ignored": {"events": np.ones(20)},
            "a term": {"own": False},
        },
    ),
    "matrix factors": (
        factors,
        {"U": RNG.standard_normal((5, 2)), "M": RNG.standard_normal((4, 2))},
        factors_gradient,
        {
            "mask ignored": {"seen": np.ones((5, 4))},
            "no regulariser": {"l2": 0},
            "one too many": {"on_m": 1e-3},
            "the last column": {"seen": SEEN * np.array([1, 1, 1, 0])},
        },
    ),
    "Gaussian process": (
        process,
        {"lengths": W, "noise": -1.0},
        process_gradient,
        {"determinant": {"logdet": 0}, "half of it": {"logdet": 0.5}, "square": {"square": 1}},
    ),
    "atoms": (
        atoms,
        {"r": ATOMS},
        atoms_gradient,
        {"the last pair": {"pairs": 5}, "power": {"power": 3.999}, "action without reaction": {"newton": -1}},
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_right_gradients_pass_and_each_planted_bug_is_found(name: str) -> None:
    """At a random point and where the entries are larger; and in every model a factor of two, a wrong sign, a millionth
    and a changed, lost, infinite or exchanged entry."""
    loss, x, gradient, bugs = MODELS[name]
    for scale in (1.0, 1.5):
        there = {key: scale * value for key, value in x.items()}
        found = optitrip.gradcheck(loss, there, gradient, executor="serial")
        assert found, repr(found)
        assert found.comparison.fineness < 1e-5
        right = found.comparison.analytic
        place = int(np.argmax(np.abs(right)))
        changes = {
            "double": 2 * right,
            "negative": -right,
            "millionth": right * (1 + 1e-6),
            "exchanged": np.roll(right, 1),
            "lost": np.where(np.arange(right.size) == place, 0, right),
            "infinite": np.where(np.arange(right.size) == place, np.inf, right),
            "changed": right + 1e-5 * np.abs(right).max() * (np.arange(right.size) == place),
        }
        for bug, arguments in bugs.items():
            returned = gradient(**there, **arguments)
            changes[bug] = np.concatenate([np.ravel(returned[key]) for key in x])
        passed = [bug for bug, wrong in changes.items() if Comparison(found.comparison.result, wrong).ok]
        assert not passed, (name, scale)


def test_a_gradient_that_changes_its_argument_or_remembers_another_is_found() -> None:
    """The values of x are read-only, and the message says what to do; the gradient is asked at x, after other calls."""

    class Remembers:
        def __call__(self, w: Array) -> float:
            self.last = w.copy()
            return poisson(w)

        def gradient(self, w: Array) -> Gradient:
            return poisson_gradient(self.last)

    def changes(w: Array) -> Gradient:
        w *= 1.0
        return poisson_gradient(w)

    assert not optitrip.gradcheck(Remembers(), W, executor="serial")
    with pytest.raises(optitrip.NoAnswer, match=r"change a copy, x = x.copy\(\)"):
        optitrip.gradcheck(poisson, W, changes, executor="serial")
