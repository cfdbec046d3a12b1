"""The Python interface: the answers of sweep files, from values that live in this process."""

from __future__ import annotations

import base64
import dataclasses
import functools
import inspect
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optitrip
from examples import Batched, scalar
from mlflow_store import stored
from optitrip.journal.journal import Journal
from tracked import ARTIFACTS

SPACE: dict[str, Any] = {"x": {"normal": [0, 1], "shape": [3]}, "k": {"integer": [1, 9]}, "c": 2.5}
ONE = {"x": {"normal": [0, 1]}}
N = 600


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(autouse=True)
def cwd(work: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory, in which modules are looked up first, as in a notebook.

    It is the same one for all tests, since workers that look for modules elsewhere are other workers.
    """
    monkeypatch.chdir(work)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    path = list(sys.path)
    sys.path.insert(0, str(work))
    yield work
    sys.path[:] = path
    for entry in work.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


@pytest.fixture(scope="module")
def ray_session(local_ray: None) -> Iterator[optitrip.Session]:
    """One session of two Ray workers for all tests of this file."""
    with optitrip.Session(2, executor="ray") as session:
        yield session


@pytest.fixture(params=["serial", pytest.param("ray", marks=pytest.mark.ray)])
def session(request: pytest.FixtureRequest) -> Iterator[optitrip.Session]:
    if request.param == "ray":
        yield request.getfixturevalue("ray_session")
    else:
        with optitrip.Session(executor="serial") as one:
            yield one


def search_bits(found: Any) -> dict[str, Any]:
    """Return everything that makes two answers of a search equal, to the bit."""
    result = found.result
    x = {name: (type(value), np.asarray(value).tobytes()) for name, value in found.x.items()}
    return {
        "best": (found.loss.hex(), found.index, x),
        "losses": (found.losses.tobytes(), found.indices.tobytes()),
        "few": (result.best_index.tobytes(), result.best_loss.tobytes()),
        "lows": (result.incumbent_index.tobytes(), result.incumbent_loss.tobytes()),
        "beside": {name: column.tobytes() for name, column in result.named.items()},
        "failures": (found.items, found.failures),
    }  # fmt: skip


def gradient_bits(found: Any) -> dict[str, Any]:
    """Return everything that makes two gradients equal, to the bit."""
    arrays = {"gradient": found.gradient, "steps": found.steps, "flags": found.flags, "x": found.x}

    def packed(by_name: Any) -> dict[str, Any]:
        return {name: (np.asarray(value).dtype, np.asarray(value).tobytes()) for name, value in by_name.items()}

    return {
        "loss": found.loss.hex(),
        "report": found.report,
        "failures": (found.items, found.failures),
        **{what: packed(by_name) for what, by_name in arrays.items()},
    }


# What sweep files can name as `test_api:…`, beside what a program would hand over.


def beside(x: Any, k: int, c: float) -> dict[str, float]:
    return {"loss": scalar(x, k, c), "first": x[0], "k": k}


def failing(x: Any, k: int, c: float) -> float:
    if k > 6:
        raise ValueError(f"k is {k}")
    return scalar(x, k, c)


@optitrip.batched
def in_batches(x: Any, k: Any, c: Any) -> Any:
    return np.square(x - 1).sum(axis=1) * k + c


@optitrip.batched(block=32)
def in_blocks(x: Any, k: Any, c: Any) -> Any:
    assert len(x) in (1, 32), len(x)
    return np.square(x - 1).sum(axis=1) * k + c


@optitrip.batched
def in_batches_beside(x: Any, k: Any, c: Any) -> Any:
    return {"loss": np.square(x - 1).sum(axis=1) * k + c, "first": x[:, 0], "k": k}


LIVE: dict[str, tuple[Callable[[], Any], str]] = {
    "function": (lambda: scalar, "examples:scalar"),
    "lambda": (lambda: lambda x, k, c: float(np.sum((x - 1) ** 2)) * k + c, "examples:scalar"),
    "closure": (lambda: shifted(1.0), "examples:scalar"),
    "partial": (lambda: functools.partial(scalar, c=2.5), "examples:scalar"),
    "dict": (lambda: beside, "test_api:beside"),
    "failing": (lambda: failing, "test_api:failing"),
    "object": (lambda: Batched(), "examples:Batched"),
    "batched": (lambda: in_batches, "test_api:in_batches"),
    "batched block": (lambda: in_blocks, "test_api:in_blocks"),
    "batched dict": (lambda: in_batches_beside, "test_api:in_batches_beside"),
}


def shifted(by: float) -> Callable[..., float]:
    def loss(x: Any, k: int, c: float) -> float:
        return float(np.sum((x - by) ** 2)) * k + c

    return loss


def table(reference: str, method: dict[str, Any], space: Any = None, **objective: Any) -> dict[str, Any]:
    """The tables of a sweep file."""
    return {
        "seed": 4,
        "objective": {"loss": reference, **objective},
        "space": space or SPACE,
        "method": method,
        "run": {"executor": "serial"},
    }


SEARCH = {"use": "search", "candidates": N, "best": 5}


@pytest.mark.mostly_daily(20)
@pytest.mark.parametrize("case", LIVE)
def test_a_search_has_the_bits_of_the_sweep_file(session: optitrip.Session, case: str) -> None:
    """Law 1: whether a loss is a value or a name in a file, here or on Ray."""
    make, reference = LIVE[case]
    found = session.search(make(), SPACE, candidates=N, seed=4, best=5)
    written = optitrip.sweep(table(reference, SEARCH))
    assert search_bits(found) == search_bits(written)
    assert found.index == int(np.nanargmin(found.losses))
    assert found.loss == found.losses[found.index]
    if case != "object":
        k = found.candidates.values(range(N))["k"].tolist()
        x = found.candidates.values(range(N))["x"]
        by_hand = [((row - 1) ** 2).sum() * each + 2.5 for row, each in zip(x, k, strict=True)]
        by_hand = [np.nan if case == "failing" and each > 6 else loss for each, loss in zip(k, by_hand, strict=True)]
        np.testing.assert_allclose(found.losses, by_hand, rtol=1e-12)


@pytest.mark.mostly_daily(30)
@pytest.mark.parametrize("case", LIVE)
def test_a_gradient_has_the_bits_of_the_sweep_file(session: optitrip.Session, case: str) -> None:
    """At a point of three variables, whether the loss is a value or a name in a file, here or on Ray."""
    make, reference = LIVE[case]
    x = {"x": np.array([0.5, -1.0, 2.0]), "k": 3.0, "c": 2.5}
    found = session.gradient(make(), x, scheme="central", seed=4)
    method = {"use": "gradient", "scheme": "central", "at": {"values": {**x, "x": [0.5, -1.0, 2.0]}}}
    space = {"x": {"shape": [3]}, "k": {"shape": []}, "c": {"shape": []}}
    written = optitrip.sweep(table(reference, method, space))
    assert gradient_bits(found) == gradient_bits(written)
    if case != "object":
        np.testing.assert_allclose(found.gradient["x"], 2 * (x["x"] - 1) * 3, rtol=1e-8)
        np.testing.assert_allclose(found.gradient["k"], np.square(x["x"] - 1).sum(), rtol=1e-8)
        np.testing.assert_allclose(found.gradient["c"], 1.0, rtol=1e-8)


@pytest.mark.parametrize("kind", ["path", "text", "table"])
def test_a_sweep_is_a_file_or_its_tables(session: optitrip.Session, cwd: Path, kind: str) -> None:
    """A path, its text or a dict with the same words: the same answer, which a search of the loss has too."""
    (cwd / "one.toml").write_text(
        'seed = 4\n[objective]\nloss = "examples:scalar"\nmaximize = true\n[space]\n'
        "x = { normal = [0, 1], shape = [3] }\nk = { integer = [1, 9] }\nc = 2.5\n"
        f'[method]\nuse = "search"\ncandidates = {N}\nbest = 5\n[run]\nexecutor = "serial"\n'
    )
    given: Any = {
        "path": cwd / "one.toml",
        "text": "one.toml",
        "table": table("examples:scalar", SEARCH, maximize=True),
    }
    wanted = search_bits(optitrip.search(scalar, SPACE, candidates=N, seed=4, best=5, maximize=True, executor="serial"))
    assert search_bits(session.sweep(given[kind])) == wanted
    assert search_bits(optitrip.sweep(given[kind])) == wanted


def test_tables_of_numpy_values_are_tables() -> None:
    """Whole numbers, floats and arrays of NumPy mean what Python's mean."""
    space = {"x": {"normal": np.array([0, 1]), "shape": (np.int64(3),)}, "k": {"integer": [np.int32(1), 9]}}
    space["c"] = np.float64(2.5)  # pyright: ignore[reportArgumentType]
    found = optitrip.search(scalar, space, candidates=np.int64(50), seed=np.int64(4), executor="serial")  # pyright: ignore[reportArgumentType]
    assert search_bits(found) == search_bits(optitrip.search(scalar, SPACE, candidates=50, seed=4, executor="serial"))


def test_words_reach_the_method() -> None:
    """`best`, `seed`, `maximize` and `candidates` do what their names say."""
    first = optitrip.search(scalar, SPACE, candidates=200, seed=1, best=3)
    largest = optitrip.search(scalar, SPACE, candidates=200, seed=1, maximize=True)
    assert len(first.result.best_loss) == 3
    assert first.result.best_loss.tolist() == sorted(first.losses.tolist())[:3]
    assert first.loss == first.losses.min()
    assert largest.loss == largest.losses.max()
    assert largest.losses.tobytes() == first.losses.tobytes()
    more = optitrip.search(scalar, SPACE, candidates=300, seed=1)
    assert more.losses[:200].tobytes() == first.losses.tobytes()
    assert optitrip.search(scalar, SPACE, candidates=200, seed=2).losses.tobytes() != first.losses.tobytes()


class Both:
    """A batched loss with a plain call that differs within its tolerance, so that one can see which was used."""

    tolerance = 1e-3

    def __call__(self, x: float) -> float:
        return (x * x + 1) * (1 + 1e-6)

    def losses(self, x: Any) -> Any:
        return x * x + 1


class Digested:
    def __call__(self, x: float) -> float:
        return x

    def digest(self) -> str:
        return "one"


def test_plain_uses_the_plain_call(session: optitrip.Session) -> None:
    """With plain=True batches are left alone, for a search and for a gradient, also after a call that used them."""
    both = Both()
    batches = session.search(both, ONE, candidates=50)
    plainly = session.search(both, ONE, candidates=50, plain=True)
    again = session.search(both, ONE, candidates=50)
    xs = batches.candidates.values(range(50))["x"]
    assert batches.losses.tolist() == (xs * xs + 1).tolist()
    assert plainly.losses.tolist() == [both(x) for x in xs.tolist()]
    assert again.losses.tobytes() == batches.losses.tobytes()
    assert session.gradient(both, 2.0).loss == 5.0
    assert session.gradient(both, 2.0, plain=True).loss == both(2.0)


def test_a_batched_function_gets_full_blocks() -> None:
    """Its arrays have a leading axis of `block` candidates, 256 by default."""
    seen: dict[str, set[tuple[int, ...]]] = {"default": set(), "block": set()}
    SHAPES.clear()
    optitrip.search(default_block, {"x": {"normal": [0, 1], "shape": [2]}}, candidates=300, executor="serial")
    seen["default"] = set(SHAPES)
    SHAPES.clear()
    optitrip.search(block_of_8, {"x": {"normal": [0, 1], "shape": [2]}}, candidates=30, executor="serial")
    assert seen["default"] - {(1, 2)} == {(256, 2)}
    assert set(SHAPES) - {(1, 2)} == {(8, 2)}
    assert (default_block(x=np.ones((3, 2))) == 2).all()  # the function itself stays as it is


SHAPES: list[tuple[int, ...]] = []


@optitrip.batched
def default_block(x: Any) -> Any:
    SHAPES.append(x.shape)
    return x.sum(axis=1)


@optitrip.batched(block=8)
def block_of_8(x: Any) -> Any:
    SHAPES.append(x.shape)
    return x.sum(axis=1)


# Gradients

EPS = float(np.finfo(np.float64).eps)


def square(x: Any) -> float:
    return float(np.sum(np.square(x)))


POINTS: dict[str, tuple[Any, Any]] = {
    "a float": (1.5, 3.0),
    "an int": (2, 4.0),
    "a NumPy float": (np.float64(1.5), 3.0),
    "a list of ints": ([1, 2, 3], [2.0, 4.0, 6.0]),
    "a tuple": ((0.5, -0.5), [1.0, -1.0]),
    "an array": (np.array([[1.0, 2.0], [3.0, 4.0]]), [[2.0, 4.0], [6.0, 8.0]]),
    "an array of ints": (np.arange(3), [0.0, 2.0, 4.0]),
    "half precision": (np.array([1, 2], np.float16), [2.0, 4.0]),
    "by name": ({"x": [1.0, 2.0]}, [2.0, 4.0]),
}


@pytest.mark.parametrize("case", POINTS)
def test_a_gradient_at_a_value(session: optitrip.Session, case: str) -> None:
    """Whatever a person may call a point: the derivative, in its shape, in float64."""
    x, wanted = POINTS[case]
    there = session.gradient(square, x)
    assert there.gradient.keys() == {"x"}
    assert there.gradient["x"].shape == np.shape(wanted)
    assert there.gradient["x"].dtype == np.float64
    np.testing.assert_allclose(there.gradient["x"], wanted, atol=1e-6)
    given = x["x"] if isinstance(x, dict) else x
    np.testing.assert_array_equal(there.x["x"], np.asarray(given, np.float64))
    assert there.loss == square(np.asarray(given, np.float64))
    assert there.norm == pytest.approx(np.linalg.norm(np.asarray(wanted)))
    assert there.max_abs == pytest.approx(np.abs(wanted).max())


def test_float32_stays_float32(session: optitrip.Session) -> None:
    """The loss meets float32, and the steps are those that float32 can take, far larger than float64's."""
    point = np.array([0.5, 3.0], np.float32)
    single = session.gradient(typed, point, scheme="forward")
    double = session.gradient(typed, point.astype(np.float64), scheme="forward")
    assert single.report == {"bits": 32.0}
    assert double.report == {"bits": 64.0}
    assert single.x["x"].dtype == np.float32
    eps = float(np.finfo(np.float32).eps)
    for entry, step in zip(point, single.steps["x"], strict=True):
        stepped = np.float32(entry + np.float32(step))
        assert step == float(stepped) - float(entry)  # a step that was taken, exactly
        assert step > np.sqrt(eps) * float(entry) / 2
    assert (double.steps["x"] < single.steps["x"] / 10).all()
    np.testing.assert_allclose(single.gradient["x"], [1.0, 6.0], rtol=1e-2)


def typed(x: Any) -> dict[str, float]:
    return {"loss": float(np.sum(x.astype(np.float64) ** 2)), "bits": 8 * x.itemsize}


def test_a_gradient_in_several_variables(session: optitrip.Session) -> None:
    """A dict of a float, an array and a float32 array: a derivative for each, in its shape."""
    x = {"a": 2.0, "b": np.array([[1.0], [3.0]]), "c": np.array([0.25], np.float32)}
    there = session.gradient(lambda a, b, c: a**2 * float(b.sum()) + float(c[0]) * 3, x, scheme="central")
    assert [(name, value.shape) for name, value in there.gradient.items()] == [("a", ()), ("b", (2, 1)), ("c", (1,))]
    assert there.loss == 16.75
    np.testing.assert_allclose(there.gradient["a"], 16.0, rtol=1e-8)
    np.testing.assert_allclose(there.gradient["b"], [[4.0], [4.0]], rtol=1e-8)
    np.testing.assert_allclose(there.gradient["c"], [3.0], rtol=1e-3)
    assert there.x["c"].dtype == np.float32
    assert isinstance(there.x["a"], float)


def test_a_gradient_at_the_best_of_a_search(session: optitrip.Session) -> None:
    """`found.x` goes in as it is, and f(x) is the loss that was found."""
    loss = shifted_bowl(3.0)
    found = session.search(loss, {"x": {"normal": [0, 3]}, "y": {"uniform": [-5, 5], "shape": [2]}}, candidates=300)
    there = session.gradient(loss, found.x, scheme="central")
    assert there.loss.hex() == found.loss.hex()
    np.testing.assert_allclose(there.gradient["x"], 2 * (found.x["x"] - 3), atol=1e-7)
    np.testing.assert_allclose(there.gradient["y"], 2 * (found.x["y"] + 3), atol=1e-7)
    np.testing.assert_array_equal(there.x["y"], found.x["y"])


def shifted_bowl(by: float) -> Callable[..., float]:
    return lambda x, y: (x - by) ** 2 + float(((y + by) ** 2).sum())


@pytest.mark.parametrize(("scheme", "wanted"), [("forward", 3.31), ("backward", 2.71), ("central", 3.01)])
def test_scheme_and_step_are_passed_on(scheme: str, wanted: float) -> None:
    """x^3 at 1 with a step of 0.1: each scheme's own quotient."""
    there = optitrip.gradient(lambda x: x**3, 1.0, scheme=scheme, step=0.1)
    assert float(there.gradient["x"]) == pytest.approx(wanted, rel=1e-12)
    assert abs(float(there.steps["x"])) == pytest.approx(0.1, rel=1e-12)


def test_the_step_by_default_is_that_of_the_docstring() -> None:
    """noise^(1/2) max(0.01, |x|) for forward, noise^(1/3) max(0.01, |x|) for central differences, and so on, with the
    noise relative to f(x); a known noise takes one round."""
    x = np.array([0.001, 100.0])
    powers = {"forward": 1 / 2, "backward": 1 / 2, "central": 1 / 3, "four_point": 1 / 5, "richardson": 1 / 7}
    for scheme, power in powers.items():
        there = optitrip.gradient(square, x, scheme=scheme, noise=1e-4)
        wanted = (1e-4 / there.loss) ** power * np.array([0.01, 100])
        np.testing.assert_allclose(np.abs(there.steps["x"]), wanted, rtol=1e-5)


def test_only_some_coordinates(session: optitrip.Session) -> None:
    """The seed draws as many as asked for, and fewer are among more; the others are NaN and flagged."""
    x = np.arange(1.0, 21.0)
    five = session.gradient(square, x, coordinates=5, seed=2)
    nine = session.gradient(square, x, coordinates=9, seed=2)
    other = session.gradient(square, x, coordinates=5, seed=3)
    asked = five.flags["x"] != 8
    assert asked.sum() == five.items == 5
    assert np.isnan(five.gradient["x"][~asked]).all()
    np.testing.assert_allclose(five.gradient["x"][asked], 2 * x[asked], rtol=1e-6)
    assert five.gradient["x"][asked].tobytes() == nine.gradient["x"][asked].tobytes()
    assert (nine.flags["x"] != 8).sum() == 9
    assert ((other.flags["x"] != 8) != asked).any()


def searching(loss: Any, space: Any = None, **words: Any) -> Callable[[], Any]:
    given: dict[str, Any] = {"candidates": 1, **words}
    return lambda: optitrip.search(loss, ONE if space is None else space, **given)


def at(x: Any, loss: Any = square, **words: Any) -> Callable[[], Any]:
    return lambda: optitrip.gradient(loss, x, **words)


def sweeping(given: Any) -> Callable[[], Any]:
    return lambda: optitrip.sweep(given)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "an integer by name": (
        at({"x": [1.0], "k": 3, "c": 0.5}, scalar),
        r"k is 3, which has no derivative: .*functools\.partial\(loss, k=3\), or give it as a float",
    ),
    "a string by name": (at({"x": 1.0, "s": "rbf"}, lambda x, s: 0), "s is 'rbf', which has no derivative"),
    "a string": (at("many"), "x is 'many', which has no derivative"),
    "a truth": (at(True), "x is True, which has no derivative"),
    "a complex number": (at(1j), "x is 1j, which has no derivative"),
    "nothing": (at(None), "x is None, which has no derivative"),
    "NaN": (at([1.0, float("nan")]), r"x\[1\] is nan, wanted finite numbers"),
    "no entries": (at([]), r"was \[0\], wanted a list of whole numbers of at least 1"),
    "an empty dict": (at({}), "space: is empty"),
    "no name for one of several": (
        at(1.0, lambda x, y: x + y),
        r"x has no name, and the loss requires x, y; wanted x = \{name: value\}",
    ),
    "another name": (at({"z": 1.0}), "its parameters do not match the space"),
    "a scheme": (at(1.0, scheme="both"), r"^method\.scheme: was 'both', wanted 'forward'"),
    "a step": (at(1.0, step=0.0), r"^method\.step: was 0\.0, wanted \"auto\", a number other than 0"),
    "no coordinates": (at(1.0, coordinates=0), r"^method\.coordinates: was 0, wanted a number of at least 1"),
    "a class": (searching(Both), r"test_api:Both is a class; wanted an object of it, Both\(\.\.\.\)"),
    "a class at a point": (at(1.0, Both), "test_api:Both is a class"),
    "a class with a digest": (searching(Digested), "test_api:Digested is a class"),
    "a number as the loss": (searching(3.0), "the loss is a float; wanted a function"),
    "a string as the loss": (at(1.0, "m:f"), "the loss is a str; wanted a function"),
    "no candidates": (searching(square, candidates=0), r"^method\.candidates: was 0, wanted greater"),
    "half a candidate": (searching(square, candidates=1.5), r"^method\.candidates: was 1\.5, wanted"),
    "no best": (searching(square, best=0), r"^method\.best: was 0, wanted greater"),
    "a word in the space": (
        searching(square, {"x": {"norml": [0, 1]}}),
        r"^space\.x\.norml: unknown key; did you mean normal\?",
    ),
    "a value in the space": (
        searching(square, {"x": {"normal": [0, -1]}}),
        r"^space\.x\.normal: standard deviation must be above 0, was -1",
    ),
    "no space": (searching(square, {}), "^space: is empty"),
    "a list for a space": (searching(square, [1]), r"^space: was \[1\], wanted a table"),
    "another variable": (
        searching(square, {"y": {"normal": [0, 1]}}),
        r"the objective takes: x.*\n  the space has:       y",
    ),
    "an executor": (searching(square, executor="spark"), "^executor: was 'spark', wanted 'auto' or"),
    "a list of executors": (searching(square, executor=["ray"]), r"^executor: was \['ray'\], wanted 'auto' or"),
    "text for workers": (searching(square, workers="2"), "^workers: was '2', wanted a whole number"),
    "a list of samplers": (searching(square, sampler=["random"]), r"^method\.sampler: was \['random'\], wanted"),
    "no workers": (searching(square, workers=0), "^workers: was 0, wanted"),
    "a key of a table": (
        sweeping({**table("examples:scalar", SEARCH), "sed": 1}),
        r"^sed: unknown key; did you mean seed\?",
    ),
    "a value of a table": (
        sweeping(table("examples:scalar", {"use": "search", "candidates": "ten"})),
        r"^method\.candidates: was 'ten', wanted",
    ),
    "a list for a word of a table": (
        sweeping(table("examples:scalar", {"use": ["search"], "candidates": 3})),
        r"^method\.use: was \['search'\], wanted 'search' or",
    ),
    "a sampler that draws nothing": (
        sweeping(table("examples:scalar", {"use": "gradient", "sampler": "halton", "at": {"fill": 0}})),
        r"^method\.sampler: only applies to .*; remove this line, or give a candidate$",
    ),
    "a missing table": (sweeping({"space": ONE}), "^objective: is missing; wanted a table"),
    "a module": (sweeping(table("not_there:f", SEARCH)), "there is no module 'not_there'"),
    "a name": (sweeping(table("examples:scalr", SEARCH)), "examples has no 'scalr'; did you mean scalar"),
    "a file": (sweeping("absent.toml"), r"^absent\.toml: no such file; wanted a sweep file"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_mistake_is_reported_in_the_words_of_the_call(case: str, cwd: Path) -> None:
    """An InputError says what was given and what was wanted, without a file or a line where there is none."""
    call, words = REFUSED[case]
    with pytest.raises(optitrip.InputError, match=words) as caught:
        call()
    message = str(caught.value)
    assert ".toml" not in message or case == "a file"
    assert "None" not in message or case == "nothing"
    assert "pydantic" not in message
    assert list(cwd.iterdir()) == []


@pytest.mark.parametrize("case", ["search", "gradient", "sweep", "session"])
def test_an_unknown_option_is_refused_with_the_nearest_one(cwd: Path, case: str) -> None:
    """Every function names the option that was meant, before anything is evaluated."""
    wrong: dict[str, Any] = {"state_dri": "kept"}
    calls: dict[str, Callable[[], Any]] = {
        "search": lambda: optitrip.search(counted, ONE, candidates=1, **wrong),
        "gradient": lambda: optitrip.gradient(counted, 1.0, **wrong),
        "sweep": lambda: optitrip.sweep(table("examples:scalar", SEARCH), **wrong),
        "session": lambda: optitrip.Session(executor="serial").search(counted, ONE, candidates=1, **wrong),
    }
    CALLS.clear()
    with pytest.raises(TypeError, match=r"has no argument 'state_dri'; did you mean state_dir\?"):
        calls[case]()
    assert CALLS == []


def test_options_are_in_the_signatures() -> None:
    """Notebooks complete and show them; a session's calls take those that may differ from call to call."""
    of_calls = {"state_dir", "track", "trust", "mirror", "restore"}
    shared = {"workers", "executor", "address", "resources", "progress", *of_calls}
    for function in (optitrip.search, optitrip.gradient, optitrip.sweep, optitrip.Session):
        assert shared <= inspect.signature(function).parameters.keys()
    for method in (optitrip.Session.search, optitrip.Session.gradient, optitrip.Session.sweep):
        assert shared & inspect.signature(method).parameters.keys() == of_calls


def test_a_lost_sweep_goes_on_from_its_mirror(cwd: Path) -> None:
    """As by the command; without a state directory there is nothing to copy."""
    places: dict[str, Any] = {"mirror": "far", "restore": "far"}
    with optitrip.Session(executor="serial", state_dir="one", **places) as session:
        first = session.search(counted, ONE, candidates=3)
        shutil.rmtree("one")
        again = session.search(counted, ONE, candidates=3)
        assert (first.evaluations, again.evaluations) == (3, 0)
        assert (again.loss, again.index) == (first.loss, first.index)
    for key in places:
        alone: dict[str, Any] = {key: "far"}
        with pytest.raises(optitrip.InputError, match=f"^{key}: wanted a folder"):
            optitrip.search(counted, ONE, candidates=2, executor="serial", **alone)


def test_options_replace_what_the_file_or_the_session_says(cwd: Path) -> None:
    """An option of `sweep` wins over [run], one of a call over the session's."""
    with pytest.raises(optitrip.InputError, match=r"^executor: was 'spark'"):
        optitrip.sweep(table("examples:scalar", SEARCH), executor="spark")
    with optitrip.Session(executor="serial", state_dir="one") as session:
        session.search(counted, ONE, candidates=2)
        session.search(counted, ONE, candidates=2, state_dir="other")
        session.sweep(table("examples:scalar", SEARCH), state_dir=None)
    assert {path.name: len(list(path.iterdir())) for path in cwd.iterdir()} == {"one": 1, "other": 1}


def test_a_mistake_in_a_file_has_its_place(cwd: Path) -> None:
    """The message names the line of the sweep file, as in the command."""
    (cwd / "bad.toml").write_text('seed = 4\n[objective]\nloss = "examples:scalar"\nmaximise = true\n')
    with pytest.raises(optitrip.InputError, match=r"bad\.toml:4: objective\.maximise: unknown key; did you mean max"):
        optitrip.sweep(cwd / "bad.toml")


# The loss by itself


def test_names_of_python_are_names_here() -> None:
    """A loss and its parameters may be called by any letters; the only parameter may be keyword-only."""

    def λ(α: float) -> float:
        return α * α

    found = optitrip.search(λ, {"α": {"normal": [0, 1]}}, candidates=50)  # noqa: RUF001
    assert found.loss == found.x["α"] ** 2  # noqa: RUF001
    assert float(optitrip.gradient(λ, 3.0).gradient["α"]) == pytest.approx(6.0)  # noqa: RUF001
    assert float(optitrip.gradient(lambda *, only: only**2, 3.0).gradient["only"]) == pytest.approx(6.0)
    assert float(optitrip.gradient(lambda x, scale=2.0: scale * x, 3.0).gradient["x"]) == pytest.approx(2.0)


def grün(x: float) -> float:
    return x


def grön(x: float) -> float:
    return -x


def test_two_functions_have_two_state_directories(cwd: Path) -> None:
    """Names that differ in letters that a sweep file has not are different sweeps."""
    one = optitrip.search(grün, ONE, candidates=20, state_dir="kept")
    two = optitrip.search(grön, ONE, candidates=20, state_dir="kept")
    assert len(list((cwd / "kept").iterdir())) == 2
    assert two.losses.tolist() == (-one.losses).tolist()


def test_numbers_beside_the_loss_are_kept(session: optitrip.Session) -> None:
    """In `best.named` and in the repr of a search; in the report of a gradient at x."""
    found = session.search(beside, SPACE, candidates=100)
    assert found.named == {"first": float(found.x["x"][0]), "k": found.x["k"]}
    assert f"first={found.x['x'][0]:.6g}, k={found.x['k']}" in unfolded(found)
    there = session.gradient(lambda x: {"loss": x * x, "twice": 2 * x}, 3.0)
    assert there.loss == 9.0
    assert there.report == {"twice": 6.0}


def test_numbers_beside_the_loss_are_in_the_files(cwd: Path) -> None:
    """candidates.parquet has a column for each."""
    import pyarrow.parquet as pq

    found = optitrip.search(beside, SPACE, candidates=100, state_dir=cwd)
    (file,) = cwd.glob("*/candidates.parquet")
    columns = pq.read_table(file)
    xs = found.candidates.values(range(100))
    assert columns.column_names == ["index", "loss", "status", "first", "k", "k_", "c"]
    assert columns["loss"].to_numpy().tobytes() == found.losses.tobytes()
    assert columns["first"].to_pylist() == xs["x"][:, 0].tolist()
    assert columns["k"].to_pylist() == columns["k_"].to_pylist() == xs["k"].tolist()


# What is written


def test_nothing_is_written_unless_asked(session: optitrip.Session, cwd: Path) -> None:
    """Neither a state directory nor a store: not by a search, a gradient or a sweep of a file or a table."""
    sweep = cwd / "one.toml"
    sweep.write_text(
        '[objective]\nloss = "examples:scalar"\n[space]\nx = { shape = [3], normal = [0, 1] }\nk = 1\nc = 2.5\n'
        '[method]\nuse = "search"\ncandidates = 30\n[tracking]\nuse = "mlflow"\n'
    )
    answers: list[Any] = [
        session.search(scalar, SPACE, candidates=50),
        session.gradient(square, [1.0, 2.0]),
        session.sweep(table("examples:scalar", SEARCH)),
        session.sweep(sweep),
    ]
    assert all(answer.picture() for answer in answers)
    with pytest.raises(optitrip.NoAnswer):
        session.search(lambda x: float("nan"), ONE, candidates=3)
    assert os.listdir(cwd) == ["one.toml"]


CALLS: list[Any] = []


def counted(x: float) -> float:
    CALLS.append(x)
    return x * x


class Counted:
    """Counts calls, as an object with data of its own."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, x: float) -> float:
        CALLS.append(x)
        return self.scale * x * x

    def digest(self) -> str:
        return f"scale {self.scale}"


def calls(run: Callable[[], Any]) -> tuple[Any, int]:
    CALLS.clear()
    return run(), len(CALLS)


def test_a_stored_search_is_resumed(cwd: Path) -> None:
    """The second call evaluates nothing, a larger one the rest only, and all have the bits of a call without it."""

    def run(candidates: int, **more: Any) -> tuple[Any, int]:
        return calls(lambda: optitrip.search(counted, ONE, candidates=candidates, executor="serial", **more))

    plain, evaluated = run(60)
    assert evaluated == 60
    first, evaluated = run(60, state_dir="kept")
    assert evaluated == 60
    again, evaluated = run(60, state_dir="kept")
    assert evaluated == 0
    more, evaluated = run(100, state_dir=cwd / "kept")
    assert evaluated == 41  # the others, and the first one once more, to see that the loss is the same
    assert search_bits(first) == search_bits(again) == search_bits(plain)
    assert search_bits(more) == search_bits(run(100)[0])
    (folder,) = (cwd / "kept").iterdir()
    assert re.fullmatch(r"counted-[0-9a-f]{8}", folder.name)
    assert {"journal.sqlite", "best.npz", "candidates.parquet", "losses.png", "result.json"} <= set(os.listdir(folder))
    assert sorted(os.listdir(cwd)) == ["kept"]
    run(60, state_dir="kept", seed=1)
    assert len(list((cwd / "kept").iterdir())) == 2


def test_a_stored_gradient_is_resumed(cwd: Path) -> None:
    """The second call evaluates nothing; another point is another sweep."""

    def at(x: float) -> tuple[Any, int]:
        return calls(lambda: optitrip.gradient(counted, x, executor="serial", state_dir="kept"))

    first, evaluated = at(3.0)
    assert evaluated == 14 + 5 + 4 + 4  # for noise, the four-point difference, a better step, and the slope elsewhere
    again, evaluated = at(3.0)
    assert evaluated == 0
    assert gradient_bits(first) == gradient_bits(again)
    other, evaluated = at(4.0)
    assert evaluated >= 14 + 5
    assert other.loss == 16.0
    assert len(list((cwd / "kept").iterdir())) == 2


LOCAL: dict[str, Callable[[], Any]] = {
    "lambda": lambda: lambda x: x,
    "closure": lambda: shifted(0.0),
    "partial": lambda: functools.partial(square),
    "object": lambda: Both(),
    "method": lambda: Counted(1.0).__call__,
}


@pytest.mark.parametrize("case", LOCAL)
def test_a_loss_without_identity_cannot_be_stored(cwd: Path, case: str) -> None:
    """A journal that could be taken for that of another loss is not begun."""
    loss = LOCAL[case]()
    space = SPACE if case == "closure" else ONE
    with pytest.raises(optitrip.InputError, match=r"state_dir: .* has no identity .*, or an object with digest\(\)"):
        optitrip.search(loss, space, candidates=5, state_dir="kept")
    assert list(cwd.iterdir()) == []
    assert optitrip.search(loss, space, candidates=5).items == 5


def test_an_object_with_a_digest_is_stored(cwd: Path) -> None:
    """An equal digest resumes; another one is another sweep with its own answer."""

    def run(scale: float) -> tuple[Any, int]:
        return calls(lambda: optitrip.search(Counted(scale), ONE, candidates=30, executor="serial", state_dir="kept"))

    one, evaluated = run(1.0)
    assert evaluated == 30
    again, evaluated = run(1.0)
    assert evaluated == 0
    other, evaluated = run(-2.0)
    assert evaluated == 30
    assert search_bits(one) == search_bits(again)
    assert other.losses.tolist() == (-2 * one.losses).tolist()
    assert other.index != one.index
    assert len(list((cwd / "kept").iterdir())) == 2


@pytest.mark.daily
def test_track_makes_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
    """With the figures, the curve and the files, of a lambda too; and nothing else stays in the working directory."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(store, tmp_path)
    found = optitrip.search(lambda x: (x - 1) ** 2, ONE, candidates=40, track=True)
    run, metrics, artifacts = stored(tmp_path)
    assert run.info.status == "FINISHED"
    assert {*artifacts} == ARTIFACTS
    assert run.data.tags["optitrip.candidates"] == "40"
    assert run.data.params["space.x"] == "{'normal': [0.0, 1.0]}"
    least = list(itertools.accumulate(found.losses.tolist(), min))
    assert all(least[step] == value for step, value in metrics["loss"])
    assert {(found.index, found.loss), (39, found.loss)} <= set(metrics["loss"])
    assert "failed" not in metrics
    assert sorted(os.listdir(tmp_path)) == ["mlartifacts", "mlflow.db"]


@pytest.mark.daily
def test_a_tracked_gradient_with_a_state_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Path
) -> None:
    """Its figures and files are told too, and told once."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(store, tmp_path)
    optitrip.gradient(square, [1.0, 2.0], state_dir="kept", track=True)
    there = optitrip.gradient(square, [1.0, 2.0], state_dir="kept", track=True)
    run, metrics, artifacts = stored(tmp_path)
    assert metrics["gradient/norm"] == [(0, there.norm)]
    assert metrics["gradient/max_abs"] == [(0, there.max_abs)]
    assert metrics["loss"][0][1] == 5.0
    assert artifacts == ["gradient.npz", "gradient.png", "images", "point.npz", "sweep.toml"]
    assert run.data.tags["optitrip.coordinates"] == "2"


# Sessions


class Travels:
    """Writes down how often it is packed, and where it is unpacked."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.large = np.ones(2_000_000)

    def __getstate__(self) -> dict[str, Any]:
        with self.log.with_suffix(".packed").open("a") as file:  # not in an attribute: that would be another loss
            file.write("+")
        return dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        with self.log.open("a") as file:
            file.write(f"{os.getpid()}\n")

    def __call__(self, x: float) -> dict[str, float]:
        time.sleep(0.003)
        return {"loss": x * x * self.large[7], "pid": os.getpid()}


def test_a_session_keeps_the_loss_here(cwd: Path) -> None:
    """In this process it is packed and unpacked once, for two searches and a gradient; a new object is a new loss."""
    loss = Travels(cwd / "log")
    with optitrip.Session(executor="serial") as session:
        first = session.search(loss, ONE, candidates=5)
        second = session.search(loss, ONE, candidates=8, seed=1)
        session.gradient(loss, 2.0)
        assert (cwd / "log.packed").read_text() == "+"
        session.search(Travels(cwd / "log"), ONE, candidates=2)
    assert (cwd / "log.packed").read_text() == "++"
    assert (cwd / "log").read_text().split() == [str(os.getpid())] * 2
    assert first.losses.tolist() == (first.candidates.values(range(5))["x"] ** 2).tolist()
    assert second.losses.tolist() == (second.candidates.values(range(8))["x"] ** 2).tolist()


def test_a_session_keeps_loss_and_workers_on_ray(ray_session: optitrip.Session, cwd: Path) -> None:
    """Both calls run in two processes, and 16 MB are sent to each of them once."""
    loss = Travels(cwd / "log")
    first = ray_session.search(loss, ONE, candidates=300)
    second = ray_session.search(loss, ONE, candidates=300, seed=1)
    there = ray_session.gradient(loss, 2.0)
    pids = set(first.result.named["pid"].tolist())
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert set(second.result.named["pid"].tolist()) == pids
    assert there.report["pid"] in pids
    assert (cwd / "log.packed").read_text() == "+"
    assert sorted((cwd / "log").read_text().split()) == sorted(str(int(pid)) for pid in pids)
    assert first.losses.tolist() == (first.candidates.values(range(300))["x"] ** 2).tolist()
    assert (
        second.losses.tolist()
        == (
            second.candidates.values(
                range(300),
            )["x"]
            ** 2
        ).tolist()
    )


def test_arguments_that_are_equal_but_not_the_same(session: optitrip.Session) -> None:
    """1, 1.0 and true are different words in a sweep file: each has its own loss, in one session too."""
    method = {"use": "search", "candidates": 3}
    for value in (1, 1.0, True):
        found: Any = session.sweep(table("test_api:by_type", method, ONE, arguments={"of": value}))
        assert found.loss == {int: 1.0, float: 2.0, bool: 3.0}[type(value)]


def by_type(x: float, of: Any) -> float:
    return {int: 1.0, float: 2.0, bool: 3.0}[type(of)]


@pytest.mark.daily
def test_a_session_goes_on_after_a_loss_without_an_answer(session: optitrip.Session) -> None:
    """Slices of the sweep that was given up are in nobody's answer: the next ones have the bits of a fresh session."""

    def hopeless(x: Any, k: int, c: float) -> float:
        time.sleep(0.001)
        raise KeyError("weights")

    wanted = optitrip.search(failing, SPACE, candidates=N, seed=4, executor="serial")
    for _ in range(3):
        with pytest.raises(optitrip.NoAnswer, match=r"(?s)the first 100 items all failed.*candidate 0.*KeyError"):
            session.search(hopeless, SPACE, candidates=5_000)
        assert search_bits(session.search(failing, SPACE, candidates=N, seed=4)) == search_bits(wanted)
        with pytest.raises(optitrip.NoAnswer, match="the first item failed"):
            session.gradient(lambda x: float("inf"), [1.0, 2.0])
        assert session.gradient(square, 3.0).loss == 9.0


def test_a_session_goes_on_after_the_same_loss_had_no_answer(session: optitrip.Session) -> None:
    """With another space the same loss is still loaded, and right."""

    def positive(x: float) -> float:
        if x < 0:
            raise ValueError(f"{x} is negative")
        return x

    with pytest.raises(optitrip.NoAnswer, match="negative"):
        session.search(positive, {"x": {"uniform": [-2, -1]}}, candidates=500)
    found = session.search(positive, {"x": {"uniform": [1, 2]}}, candidates=500)
    assert found.losses.tolist() == found.candidates.values(range(500))["x"].tolist()


class Interrupts:
    """Ctrl-C at the nth call in this process."""

    calls = 0

    def __init__(self, at: int) -> None:
        self.at = at

    def __call__(self, x: float) -> float:
        type(self).calls += 1
        if type(self).calls == self.at:
            signal.raise_signal(signal.SIGINT)
        return x * x

    def digest(self) -> str:
        return "interrupts"


def test_ctrl_c_ends_the_call_and_not_the_session() -> None:
    """KeyboardInterrupt comes out of the call; the same session and loss then have the right answer."""
    Interrupts.calls = 0
    loss = Interrupts(30)
    with optitrip.Session(executor="serial") as session:
        with pytest.raises(KeyboardInterrupt):
            session.search(loss, ONE, candidates=50)
        assert Interrupts.calls == 30
        found = session.search(loss, ONE, candidates=50)
        assert found.losses.tolist() == (found.candidates.values(range(50))["x"] ** 2).tolist()
        assert session.search(square, ONE, candidates=9).losses.tobytes() == found.losses[:9].tobytes()


def test_ctrl_c_leaves_what_was_stored() -> None:
    """With a state directory the same call resumes where it was interrupted."""
    Interrupts.calls = 0
    with pytest.raises(KeyboardInterrupt, match=r"of 50 candidates are stored"):
        optitrip.search(Interrupts(30), ONE, candidates=50, executor="serial", state_dir="kept")
    found = optitrip.search(Interrupts(0), ONE, candidates=50, executor="serial", state_dir="kept")
    assert found.losses.tolist() == (found.candidates.values(range(50))["x"] ** 2).tolist()
    assert 50 < Interrupts.calls < 80


def test_a_loss_that_cannot_travel_is_refused_every_time(ray_session: optitrip.Session) -> None:
    """On Ray, with the reason; a second call says the same, and another loss is evaluated."""
    import threading

    lock = threading.Lock()
    for _ in range(2):
        with pytest.raises(optitrip.InputError, match="cannot be sent to Ray workers"):
            ray_session.search(lambda x: float(lock.locked()), ONE, candidates=5)
    assert ray_session.gradient(square, 3.0).loss == 9.0


@pytest.mark.daily
def test_a_new_session_refuses_a_loss_that_cannot_travel_every_time(local_ray: None) -> None:
    """Also where it is the first loss of all, and the very same object comes again."""
    import threading

    lock = threading.Lock()
    loss: Callable[[float], float] = lambda x: float(lock.locked())  # noqa: E731
    with optitrip.Session(1, executor="ray") as session:
        for _ in range(2):
            with pytest.raises(optitrip.InputError, match="cannot be sent to Ray workers"):
                session.search(loss, ONE, candidates=5)
        assert session.gradient(square, 3.0).loss == 9.0


def test_a_loss_that_cannot_travel_is_evaluated_here() -> None:
    """The serial executor takes it as it is."""
    import threading

    lock = threading.Lock()
    assert optitrip.search(lambda x: x + lock.locked(), ONE, candidates=5, executor="serial").items == 5


@pytest.mark.daily
def test_a_closed_session_begins_anew(local_ray: None) -> None:
    """Closing lets the workers go; the next call hires others, and has the same bits."""
    session = optitrip.Session(1, executor="ray")
    loss: Callable[[float], Any] = lambda x: {"loss": x * x, "pid": os.getpid()}  # noqa: E731
    first = session.search(loss, ONE, candidates=5)
    session.close()
    second = session.search(loss, ONE, candidates=5)
    session.close()
    session.close()
    assert first.losses.tobytes() == second.losses.tobytes()
    assert first.named != second.named


# Answers


def test_exceptions_are_the_public_ones() -> None:
    """Every exception can be caught by the names that `import optitrip` gives."""
    from optitrip import errors

    assert optitrip.InputError is errors.InputError
    assert optitrip.NoAnswer is errors.NoAnswer
    assert optitrip.Stopped is errors.Stopped
    assert all(issubclass(one, Exception) for one in (optitrip.InputError, optitrip.NoAnswer, optitrip.Stopped))
    with pytest.raises(optitrip.NoAnswer, match=r"(?s)none of the 3 candidates has a finite loss: 3 nan.*x = "):
        optitrip.search(lambda x: float("nan"), ONE, candidates=3)


def test_a_disk_that_is_full_stops_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public exception says what is kept and why it ended; with room again the same call goes on."""
    real = Journal.write

    def full(self: Journal, number: int, digest: bytes, parts: Any, *more: Any) -> Any:
        if parts[0][0].items.start > 0:
            raise OSError(28, "No space left on device")
        return real(self, number, digest, parts, *more)

    monkeypatch.setattr(Journal, "write", full)
    with pytest.raises(optitrip.Stopped, match=r"No space left on device: 1 of 60 candidates are stored") as caught:
        optitrip.search(counted, ONE, candidates=60, executor="serial", state_dir="kept")
    assert caught.value.signal is None
    monkeypatch.setattr(Journal, "write", real)
    found, evaluated = calls(lambda: optitrip.search(counted, ONE, candidates=60, executor="serial", state_dir="kept"))
    assert evaluated == 60  # the first one once more, to see that the loss is the same
    assert found.losses.tolist() == (found.candidates.values(range(60))["x"] ** 2).tolist()


def test_answers_are_frozen() -> None:
    """Neither an answer's fields nor its parameters can be changed."""
    found = optitrip.search(scalar, SPACE, candidates=20)
    there = optitrip.gradient(square, [1.0, 2.0])
    for answer, name in [(found, "loss"), (found, "result"), (found, "other"), (there, "gradient"), (there, "method")]:
        with pytest.raises((AttributeError, dataclasses.FrozenInstanceError)):
            setattr(answer, name, 1)
    for array in (found.x["x"], there.x["x"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_a_repr_fits_a_screen(session: optitrip.Session) -> None:
    """However large the arrays are, and with the figures that matter."""
    space = {"w": {"normal": [0, 1], "shape": [40, 50]}, "kernel": {"choice": ["rbf", "line\nar"]}}
    found = session.search(lambda w, kernel: float(w.sum()), space, candidates=30)
    assert re.fullmatch(
        rf"SearchAnswer\(loss={found.loss:.8g}, x={{w=array of shape \(40, 50\), from -\S+ to \S+, "
        rf"kernel='.*'}}, candidate {found.index} of 30\)",
        unfolded(found),
    )
    there = session.gradient(lambda w: float((w * w).sum()), found.x["w"])
    assert re.fullmatch(
        rf"GradientAnswer\(loss=\S+, norm={there.norm:.8g}, largest: w\[\d+, \d+\] .*\)", unfolded(there)
    )
    assert len(repr(found)) + len(repr(there)) < 500
    assert max(map(len, [*repr(found).splitlines(), *repr(there).splitlines()])) <= 79
    few = session.search(failing, SPACE, candidates=N, seed=4)
    assert f", {sum(few.failures.values())} failed)" in unfolded(few)


def unfolded(answer: Any) -> str:
    """Return the repr on one line."""
    return repr(answer).replace("\n    ", " ")


PNG = b"\x89PNG\r\n\x1a\n"


def pictures(html: str) -> list[bytes]:
    return [base64.b64decode(one) for one in re.findall(r'<img src="data:image/png;base64,([^"]+)">', html)]


class Pictured:
    """A loss that can show its parameters, with words that HTML would take for its own."""

    def __call__(self, w: Any) -> dict[str, float]:
        return {"loss": float((w * w).sum()), "<b>": 1.0}

    def images(self, w: Any) -> dict[str, Any]:
        return {"w": w}


@pytest.mark.parametrize("case", ["search", "gradient", "search with images", "gradient with images"])
def test_answers_show_themselves_in_notebooks(case: str) -> None:
    """Their repr, escaped, and their pictures, which are PNGs; `picture` is the first of them."""
    w = np.arange(6.0).reshape(2, 3)
    loss = Pictured() if "images" in case else lambda w: float((w * w).sum())
    space = {"w": {"normal": [0, 1], "shape": [2, 3]}}
    found = optitrip.search(loss, space, candidates=30) if "search" in case else optitrip.gradient(loss, w)
    shown = found._repr_html_()
    drawn = pictures(shown)
    assert len(drawn) == (2 if case == "search with images" else 1)
    assert all(one.startswith(PNG) and len(one) > 1_000 for one in drawn)
    assert found.picture() == drawn[0]
    text = shown.partition('<pre style="white-space: pre-wrap">')[2].partition("</pre>")[0]
    assert text == repr(found).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#x27;")
    assert ("&lt;b&gt;=1" in text) == (case == "search with images")


def test_progress_goes_to_stderr_and_silence_is_the_default(capsys: pytest.CaptureFixture[str], cwd: Path) -> None:
    """Nothing is printed unless progress=True, and then on stderr."""
    optitrip.search(counted, ONE, candidates=5, executor="serial", state_dir="kept")
    assert capsys.readouterr() == ("", "")
    optitrip.search(counted, ONE, candidates=5, executor="serial", state_dir="kept", progress=True)
    said = capsys.readouterr()
    assert said.out == ""
    assert "already finished" in said.err


# The package


def fresh(code: str) -> str:
    """Return what some code prints in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    return done.stdout


def test_importing_is_light_and_every_public_name_is_there() -> None:
    """Each public name resolves, before one is used nothing heavy is imported, and what is no name is none."""
    said = fresh("""
        import sys, optitrip
        heavy = {"numpy", "ray", "mlflow", "matplotlib", "scipy", "pydantic", "rich", "pyarrow"}
        print(sorted(heavy & sys.modules.keys()))
        print([name for name in optitrip.__all__ if not callable(getattr(optitrip, name))])
        print(sorted({"ray", "mlflow", "matplotlib", "pyarrow"} & sys.modules.keys()))
        from optitrip import *
        print(search is optitrip.api.functions.search, gradient, hasattr(optitrip, "serach"))
    """).splitlines()
    assert said[:3] == ["[]", "[]", "[]"]
    assert re.fullmatch(r"True <function gradient at .*> False", said[3])


def test_public_names_are_offered_for_completion() -> None:
    """`dir`, which notebooks complete names by, has them before they are used."""
    assert fresh("import optitrip; print(sorted(set(optitrip.__all__) - set(dir(optitrip))))") == "[]\n"


def test_a_search_in_a_fresh_interpreter_needs_neither_ray_nor_mlflow() -> None:
    """A short search in a script imports neither, nor matplotlib before a picture is asked for."""
    said = fresh("""
        import sys, optitrip
        found = optitrip.search(lambda x: (x - 1) ** 2, {"x": {"normal": [0, 1]}}, candidates=500)
        print(found.loss == (found.x["x"] - 1) ** 2, sorted({"ray", "mlflow", "matplotlib"} & sys.modules.keys()))
    """)
    assert said == "True []\n"
