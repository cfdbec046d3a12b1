"""The precision of a loss: steps that suit it, bounds on the error, flags, and a loss that is not deterministic."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

import optitrip
from command import optitrip as command
from optitrip import objectives
from optitrip.core.arrays import Array
from optitrip.methods.checks import precision
from optitrip.store.state_dir import open_journal

X = np.array([0.3, -1.2, 2.0])
EPS = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def bfloat16(value: float) -> float:
    """Round a number to a significand of 8 bits."""
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(mantissa * 256), exponent - 8)


def single(x: Array) -> Any:
    return np.sum(np.asarray(x, np.float32) ** 2)


class Tensor:
    """A number with the dtype of a library that is not NumPy."""

    dtype = "torch.float32"

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return float(np.float32(self.value))


SINGLE = {
    "dtype": single,
    "value": lambda x: float(single(x)),
    "dtype of a tensor": lambda x: Tensor(float(single(x))),
    "in a dict": lambda x: {"loss": float(single(x)), "other": 1.0},
    "batched": optitrip.batched(lambda x: (x.astype(np.float32) ** 2).sum(axis=1)),
    "batched, widened": optitrip.batched(lambda x: (x.astype(np.float32) ** 2).sum(axis=1).astype(np.float64)),
}


@pytest.mark.mostly_daily
@pytest.mark.parametrize("scheme", [None, "forward", "backward", "central"])
@pytest.mark.parametrize("loss", SINGLE.values(), ids=SINGLE)
def test_a_loss_in_float32_has_a_gradient(loss: Any, scheme: str | None) -> None:
    """Steps suit its noise, so every scheme has some right digits, and no entry is off by more than its error."""
    found = optitrip.gradient(loss, X, scheme=scheme, executor="serial")
    assert found.eps == EPS["float32"]
    error = np.abs(found.gradient["x"] - 2 * X)
    assert (error <= (4e-3 if scheme in ("forward", "backward") else 2e-4)).all()
    assert (error <= found.error["x"]).all()


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_a_loss_in_half_precision_is_known_by_value(name: str) -> None:
    """Python floats with 11 or 8 bits: no entry is off by more than its bound, unless it is flagged."""
    rounded = bfloat16 if name == "bfloat16" else lambda value: float(np.float16(value))
    found = optitrip.gradient(lambda x: rounded(float(np.sum(x**2))), X, executor="serial")
    assert found.eps == EPS[name]
    assert (np.abs(found.gradient["x"] - 2 * X) <= found.error["x"]).all()
    assert found.imprecise == np.count_nonzero(found.error["x"] > 0.02 * np.abs(found.gradient["x"])) > 0
    assert f"{found.imprecise} imprecise" in repr(found)
    assert found.metrics()["gradient/imprecise"] == found.imprecise


FINE = {
    "sphere": lambda x: float(x @ x),
    "linear": lambda x: float(x.sum()),
    "round numbers": lambda x: float(2 * x[0] + x[1] - x[2]),
    "from float32 data": lambda x: float((np.array([0.5, 0.25, 1.5], np.float32) * x).sum()),
    "sigmoid": lambda x: float(expit(x).sum()),
    "constant": lambda x: 5.0,
}


@pytest.mark.mostly_daily
@pytest.mark.parametrize("at", [X, np.ones(3), np.zeros(3), np.array([1.0, 2.0, 3.0]), 1e8 * X], ids=str)
@pytest.mark.parametrize("loss", FINE.values(), ids=FINE)
def test_no_false_alarm(loss: Any, at: Array) -> None:
    """A float64 loss is known as such, also at a round x, where f(x) itself is a float32 number."""
    found = optitrip.gradient(loss, at, executor="serial")
    assert found.eps == 2.0**-52
    assert found.error["x"].max() <= 1e-9 * max(1, np.abs(at).max())


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=2, unique=True), st.integers(-100, 100))
def test_float32_numbers_are_known_by_value(losses: list[float], exponent: int) -> None:
    """Whatever their scale by powers of two; one float64 number among them is enough for float64."""
    values: Array = np.ldexp(np.array(losses), exponent)
    assert precision(values) >= EPS["float32"]
    assert precision(np.append(values, 0.1)) == 2.0**-52
    assert precision(np.append(values, np.array([np.nan, np.inf]))) == precision(values)


def test_the_error_from_noise() -> None:
    """3.5 standard deviations of (8 f1 - 8 f2 - f3 + f4) / 12h by hand; entries that it swallows are flagged, keep
    their value, and are counted."""
    loss, x = (lambda x: 3.0 + float(x[0]) + 1e-7 * float(x[1])), np.array([1.0, 2.0])
    found = optitrip.gradient(loss, x, noise=1e-6, executor="serial")
    wanted = 3.5 * 1e-6 * math.sqrt(130) / 12 / found.steps["x"]
    np.testing.assert_allclose(found.error["x"], wanted, rtol=1e-3)
    assert found.flags["x"].tolist() == [0, 16 | 32]
    assert np.isfinite(found.gradient["x"]).all()
    assert found.imprecise == 1


def test_deltas_have_small_errors() -> None:
    """They are not differences of losses, so the noise of the loss is not in them."""
    loss, W = objectives.Softmax(), 0.03 * np.random.default_rng(1).standard_normal((10, 65))
    found = optitrip.gradient(loss, W, coordinates=50, executor="serial")
    known = np.isfinite(found.gradient["W"])
    error, told = np.abs(found.gradient["W"] - loss.gradient(W))[known], found.error["W"][known]
    assert (error <= told).all()
    assert told.max() < 1e-9


def test_an_explicit_step_is_kept() -> None:
    """The error says what it is worth, with the precision known from the losses."""
    found = optitrip.gradient(lambda x: float(single(x)), X, step=1e-6, executor="serial")
    assert np.allclose(found.steps["x"], 1e-6)
    assert found.eps == EPS["float32"]
    assert all(found.flags["x"] & (16 | 1))


MODULE = """import numpy as np
def loss(x):
    if x[1] > 2.001:
        raise ValueError("too far")
    return float(np.float32((x ** 2).sum()))
"""
SWEEP = """[objective]
loss = "coarse:loss"
[space]
x = { shape = [2] }
[method]
use = "gradient"
at = { values = [1.0, 2.0] }
[tracking]
use = "none"
"""


def test_the_command_says_so_and_replays_the_same_point(tmp_path: Path) -> None:
    """A person sees the precision; `replay` takes the step that the sweep took, not the default one."""
    (tmp_path / "coarse.py").write_text(MODULE)
    (tmp_path / "c.toml").write_text(SWEEP)
    done = command(tmp_path, "sweep", "c.toml", "--executor", "serial")
    assert done.returncode == 3
    assert "the losses are float32 numbers" in done.stderr
    assert "four-point differences" in done.stdout
    again = command(tmp_path, "replay", "c", "2")
    assert "too far" in again.stderr
    moved = re.search(r"x = \[1\. +(\S+)\]", again.stdout)
    assert moved is not None
    assert float(moved[1]) > 2.05  # with a step of float64, it would be 2.0015


class Noisy:
    """A loss with noise of the size 1e-3, that counts its calls."""

    def __init__(self) -> None:
        self.rng, self.calls = np.random.default_rng(0), 0

    def __call__(self, x: Array) -> float:
        self.calls += 1
        return float(x @ x) + 1e-3 * self.rng.standard_normal()


@pytest.mark.parametrize("step", ["auto", 1e-4])
def test_a_stochastic_loss_is_told(step: Any, caplog: pytest.LogCaptureFixture) -> None:
    """By how much it differs, and what this is in the gradient; a loss that says so is not asked twice."""
    found = optitrip.gradient(Noisy(), X, step=step, executor="serial")
    assert 0 < found.drift < 1e-2
    assert "is not deterministic" in caplog.text
    assert f"differs by {found.drift:.2g} when evaluated again" in " ".join(repr(found).split())
    assert optitrip.gradient(lambda x: float(x @ x), X, executor="serial").drift == 0


def test_an_agreement_at_equal_losses_says_that_nothing_was_checked(caplog: pytest.LogCaptureFixture) -> None:
    """A batch that mixes up its rows cannot be told from a right one if all losses are equal."""
    loss = optitrip.batched(lambda x: np.full(len(x), 2.0))
    found = optitrip.search(loss, {"x": {"normal": [0, 1]}}, candidates=100, executor="serial")
    assert "losses could not be compared with plain calls" in found.unchecked
    assert found.unchecked in caplog.text


class Mixed:
    """A batched loss that returns the losses in the wrong order; flat near the origin, where nothing shows it."""

    def __init__(self, flat: float) -> None:
        self.flat = flat

    def __call__(self, x: float) -> float:
        return max(abs(x), self.flat)

    def losses(self, x: Array) -> Array:
        return np.maximum(np.abs(x), self.flat)[::-1]


@pytest.mark.parametrize("flat", [0.0, 1.0, 1.7])
def test_more_candidates_are_compared_until_losses_differ(flat: float) -> None:
    """The first two of a flat loss are equal; a later one tells that the batch is wrong."""
    with pytest.raises(optitrip.NoAnswer, match=r"candidate \d+: losses gives .* where the plain call gives"):
        optitrip.search(Mixed(flat), {"x": {"normal": [0, 1]}}, candidates=256, executor="serial")


def test_a_right_batch_is_compared_twice_only(tmp_path: Path) -> None:
    """More candidates are compared only where two show nothing."""
    space = {"W": {"normal": [0, 1], "shape": [10, 65]}}
    found = optitrip.search(objectives.Softmax(), space, candidates=10, executor="serial", state_dir=tmp_path)
    assert found.unchecked == ""
    (folder,) = tmp_path.iterdir()
    with open_journal(folder) as journal:
        assert [(stage.kind, stage.items) for stage in journal.stages()] == [
            ("agreement", 2),
            ("search", 10),
            ("report", 1),
        ]
