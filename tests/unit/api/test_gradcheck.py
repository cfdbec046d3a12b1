"""Checks of hand-written gradients: planted bugs are found, and their right versions pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

import optitrip
from command import optitrip as command
from optitrip.core.arrays import Array
from optitrip.objectives import Hinge, Softmax

pytestmark = pytest.mark.mostly_daily(3)  # of the cases that are alike

RNG = np.random.default_rng(7)
X, Y = RNG.standard_normal((30, 5)), RNG.integers(0, 3, 30)
W = 0.3 * RNG.standard_normal((3, 5))
B = 0.1 * RNG.standard_normal(3)
L2 = 0.01
V = RNG.standard_normal(6)
MATRIX = RNG.standard_normal((6, 6))


def probabilities(W: Array, b: Array) -> Array:
    scores = X @ W.T + b
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def softmax(W: Array, b: Array) -> float:
    right = probabilities(W, b)[np.arange(30), Y]
    return float(-np.log(right).mean() + L2 * (W**2).sum())


def softmax_gradient(
    W: Array,
    b: Array,
    *,
    l2: float = L2,
    mean: float = 30,
    shift: int = 0,
    sign: float = 1,
    bias: bool = True,
    factor: float = 1,
    transposed: bool = False,
) -> dict[str, Array]:
    p = probabilities(W, b)
    p[np.arange(30), (Y + shift) % 3] -= sign
    slope = p.T @ X / mean
    slope = slope.ravel(order="F").reshape(3, 5) if transposed else slope
    return {"W": factor * (slope + 2 * l2 * W), "b": factor * p.sum(axis=0) / mean if bias else np.zeros(3)}


BUGS: dict[str, dict[str, Any]] = {
    "missing regulariser": {"l2": 0.0},
    "half the regulariser": {"l2": L2 / 2},
    "sum in place of mean": {"mean": 1},
    "mean over another axis": {"mean": 5},
    "off by one class": {"shift": 1},
    "sign of the right class": {"sign": -1},
    "dropped bias": {"bias": False},
    "wrong by a millionth": {"factor": 1 + 1e-6},
    "wrong sign": {"factor": -1},
    "transposed": {"transposed": True},
}


def quadratic(x: Array) -> float:
    return float(x @ MATRIX @ x + np.sin(x).sum())


QUADRATIC: dict[str, Callable[[Array], Array]] = {
    "not symmetrised": lambda x: 2 * MATRIX @ x + np.cos(x),
    "wrong transpose": lambda x: MATRIX @ x + np.cos(x),
    "derivative of the sine forgotten": lambda x: (MATRIX + MATRIX.T) @ x,
    "sine in place of cosine": lambda x: (MATRIX + MATRIX.T) @ x + np.sin(x),
    "one entry": lambda x: (MATRIX + MATRIX.T) @ x + np.cos(x) + np.array([0, 0, 0, 1e-5, 0, 0]),
    "not a number": lambda x: np.full(6, np.nan),
    "zeros": lambda x: np.zeros(6),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_of_a_classifier_is_found(bug: str) -> None:
    """And named: the worst coordinate with both values, the step and the error; by variable, how many are wrong."""
    found = optitrip.gradcheck(
        softmax, {"W": W, "b": B}, gradient=lambda W, b: softmax_gradient(W, b, **BUGS[bug]), executor="serial"
    )
    assert not found
    assert "WRONG along" in repr(found)
    assert "numeric" in found.worst(1)[0]
    wrong = {name: count for name, (_, count, _) in found.comparison.by_variable().items()}
    assert wrong["W"] + wrong["b"] == found.comparison.wrong.sum() > 0
    of_b = {"sum in place of mean", "mean over another axis", "off by one class", "sign of the right class"}
    assert (wrong["b"] > 0) == (bug in of_b | {"dropped bias", "wrong by a millionth", "wrong sign"})


@pytest.mark.parametrize("bug", QUADRATIC)
def test_a_planted_bug_of_a_quadratic_is_found(bug: str) -> None:
    assert not optitrip.gradcheck(quadratic, V, gradient=QUADRATIC[bug], executor="serial")


class Pair:
    """A loss that returns its gradient, too."""

    def __call__(self, x: Array) -> tuple[float, Array]:
        return float(rosen(x)), rosen_der(x)


def scaled(x: Array) -> float:
    return float(x[0] ** 2 * 1e12 + np.exp(x[1] * 1e-6))


RIGHT: dict[str, Any] = {
    "classifier": (softmax, {"W": W, "b": B}, softmax_gradient),
    "quadratic": (quadratic, V, lambda x: (MATRIX + MATRIX.T) @ x + np.cos(x)),
    "as an array": (quadratic, V, (MATRIX + MATRIX.T) @ V + np.cos(V)),
    "linear": (lambda x: float(3 * x.sum() + 1), V, lambda x: np.full(6, 3.0)),
    "constant": (lambda x: 5.0, V, lambda x: np.zeros(6)),
    "rosenbrock": (rosen, np.array([-1.2, 1.0, 0.3]), rosen_der),
    "at its minimum": (rosen, np.ones(3), rosen_der),
    "a pair": (Pair(), np.array([-1.2, 1.0, 0.3]), None),
    "kinked": (lambda x: float(np.abs(x).sum()), np.array([1.0, -2.0, 0.5]), np.sign),
    "at a kink": (lambda x: float(np.abs(x).sum()), np.array([1.0, 0.0, 0.5]), np.sign),
    "its own": (Softmax(), 0.03 * RNG.standard_normal((10, 65)), None),
    "its own, kinked": (Hinge(), 0.03 * RNG.standard_normal((10, 65)), None),
    "float32": (lambda x: float(np.sum(np.square(x, dtype=np.float32))), V.astype(np.float32), lambda x: 2 * x),
    "scales": (scaled, np.array([1e-6, 2e6]), lambda x: np.array([2e12 * x[0], 1e-6 * np.exp(x[1] * 1e-6)])),
    "one number": (lambda x: x**3, 2.0, lambda x: 3 * x**2),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_gradient_passes(name: str) -> None:
    """Smooth, linear, kinked, in float32, at a minimum, of very different scales."""
    loss, x, gradient = RIGHT[name]
    found = optitrip.gradcheck(loss, x, gradient, executor="serial")
    assert found, repr(found)
    assert "agrees along" in repr(found)


def test_taylor_is_evidence_and_no_verdict() -> None:
    """Its exponent is 2 for a right gradient and 1 for a wrong one; but also 2 for one that is wrong by a millionth."""
    x = {"W": W, "b": B}
    right, wrong, slightly = (
        optitrip.gradcheck(softmax, x, lambda W, b, f=f: softmax_gradient(W, b, factor=f), executor="serial")
        for f in (1.0, 1.5, 1 + 1e-7)
    )
    assert right.answer.slope == pytest.approx(2, abs=0.1)
    assert wrong.answer.slope == pytest.approx(1, abs=0.2)
    assert slightly.answer.slope == pytest.approx(2, abs=0.1)
    assert (bool(right), bool(wrong)) == (True, False)


def test_without_a_gradient_there_is_nothing_to_check() -> None:
    """A mistake, not a pass; and neither is a gradient of another shape, or one that raises."""
    with pytest.raises(optitrip.InputError, match="has none to check"):
        optitrip.gradcheck(quadratic, V)
    with pytest.raises(optitrip.NoAnswer, match=r"must have the shape \(6,\) of x, had \(5,\)"):
        optitrip.gradcheck(quadratic, V, np.ones(5), executor="serial")
    with pytest.raises(optitrip.NoAnswer, match="ZeroDivisionError"):
        optitrip.gradcheck(quadratic, V, lambda x: 1 / 0, executor="serial")


def test_pytorch_derives_the_gradient() -> None:
    """Of a loss that takes tensors as well as arrays."""
    torch: Any = pytest.importorskip("torch")

    def loss(x: Any) -> Any:
        x = torch.as_tensor(x)
        return (x**2).sum() + torch.sin(x).sum()

    assert optitrip.gradcheck(loss, V, "autograd", executor="serial")

    def cut(x: Any) -> Any:
        x = torch.as_tensor(x)
        return loss(x.detach()) + 0 * x.sum()

    assert not optitrip.gradcheck(cut, V, "autograd", executor="serial")


MODULE = """
def loss(x, y): return x ** 3 * y
def right(x, y): return {"x": 3 * x ** 2 * y, "y": x ** 3}
def wrong(x, y): return {"x": 3 * x ** 2, "y": x ** 3}
"""
SWEEP = """
[objective]
loss = "cubic:loss"
[space]
x = { shape = [] }
y = { shape = [] }
[method]
use = "gradient"
at = { values = { x = 2.0, y = 3.0 } }
[tracking]
use = "none"
"""


@pytest.mark.parametrize("off", [1e-2, 1e-3, 1e-5, 1e-6])
def test_what_other_tools_let_pass_is_found(off: float) -> None:
    """One entry that is wrong by the relative tolerance of pyPESTO, PyTorch, JAX, or OpenMDAO and MATLAB."""
    x = np.linspace(-1, 2, 7)
    right = rosen_der(x)
    wrong = right * np.where(np.arange(7) == 3, 1 + off, 1)
    assert optitrip.gradcheck(rosen, x, right, executor="serial")
    assert list(optitrip.gradcheck(rosen, x, wrong, executor="serial").comparison.wrong) == [n == 3 for n in range(7)]


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf, 1e300])
def test_the_picture_and_the_table_show_whatever_there_is(bad: float) -> None:
    """Entries of 0, not finite, huge; and of no size at all."""
    x = np.array([0.0, 1e-300, 3.0, -10.0])

    def gradient(x: Array) -> Array:
        found = 2 * x
        found[2] = bad
        return found

    answer = optitrip.gradcheck(lambda x: float(x @ x), x, gradient, executor="serial").answer
    files = dict(answer.files("odd $x$"))
    assert files["gradcheck.png"]().startswith(b"\x89PNG")
    assert files["gradcheck.csv"]().decode().splitlines()[1].startswith("x[2],")


def test_the_command(tmp_path: Path) -> None:
    """Exit status 0 for a right gradient, 1 for a wrong one, named, and 2 if there is none."""
    (tmp_path / "cubic.py").write_text(MODULE)
    (tmp_path / "cubic.toml").write_text(SWEEP)
    right = command(tmp_path, "gradcheck", "cubic.toml", "--gradient", "cubic:right")
    assert (right.returncode, "agrees along 2 coordinates" in right.stdout) == (0, True), right.stderr
    assert max(len(line) for line in right.stdout.splitlines() if " | " in line) <= 80
    wrong = command(tmp_path, "gradcheck", "cubic.toml", "--gradient", "cubic:wrong")
    assert wrong.returncode == 1
    assert "WRONG along 1 of 2 coordinates, x: analytic 12, numeric 36" in " ".join(wrong.stdout.split())
    tables = {file.read_text().splitlines()[1] for file in tmp_path.glob(".optitrip/*/gradcheck.csv")}
    (worst,) = (
        row.split(",") for row in tables if row.endswith("wrong,wrong")
    )  # the word of the notes, and the verdict
    assert [worst[0], float(worst[1])] == ["x", 12]
    assert float(worst[2]) == pytest.approx(36)
    assert len(tables) == len(list(tmp_path.glob(".optitrip/*/gradcheck.png"))) == 2
    none = command(tmp_path, "gradcheck", "cubic.toml")
    assert none.returncode == 2
    assert "nothing to check" in none.stderr
