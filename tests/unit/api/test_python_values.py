"""Choices of any literal, constants and arguments: a loss receives exactly what was given, and no two are confused."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optitrip
from optitrip.api.inputs import python_draft, with_constants
from optitrip.core.arrays import Array
from optitrip.core.literals import literal_text
from optitrip.space.variables import Space
from optitrip.store.lookup import read, resolve

pytestmark = pytest.mark.mostly_daily(3)  # of the cases that are alike

X = {"x": {"uniform": [1, 2]}}
METHOD = {"use": "search", "candidates": 3}
DAY = datetime.date(2020, 2, 29)
OPTIONS: list[Any] = [
    None, True, 1, 1.0, "1", "", "a\0", b"1", (1, 2), [1, 2], (1,), [], (), {"a": [1, (2,)]}, {1: "a"}, {"1": "a"},
    1j, math.nan, math.inf, -0.0, 0.0, 2**70, DAY, datetime.time(7, 32), [[1], [2, 3]], ("a", None, 2.5),
]  # fmt: skip


def constant_loss(x: float, c: Any = None) -> float:
    return x


def test_a_loss_receives_exactly_the_literal(tmp_path: Path) -> None:
    """Its type, its entries and theirs; the answer's x holds it too."""
    wanted = {literal_text(option) for option in OPTIONS}
    assert len(wanted) == len(OPTIONS)

    def number(c: Any) -> float:
        return float([literal_text(option) for option in OPTIONS].index(literal_text(c)))

    found = optitrip.search(number, {"c": {"choice": OPTIONS}}, candidates=400, best=400, executor="serial")
    assert set(found.losses.tolist()) == set(map(float, range(len(OPTIONS))))
    best = optitrip.search(number, {"c": {"choice": OPTIONS}}, candidates=400, maximize=True, executor="serial")
    assert best.x == {"c": ("a", None, 2.5)}


def test_every_literal_has_an_identity_of_its_own() -> None:
    """And the same literal the same one, twice in the list or not."""
    described = {repr(Space.parse({"c": {"choice": [option]}}).describe()) for option in OPTIONS}
    assert len(described) == len(OPTIONS)
    assert Space.parse({"c": {"choice": ["a", 2, True]}}).describe() == {"c": {"choice": ("a", 2, True)}}
    twice = Space.parse({"c": {"choice": [(1,), (1,)]}})
    assert twice.describe() == Space.parse({"c": {"choice": [(1,), (1,)]}}).describe()


@pytest.mark.parametrize("options", [[None, (1, 2)], [{1: 2}, DAY, math.nan]], ids=str)
def test_a_sweep_of_literals_is_stored_and_resumed(tmp_path: Path, options: list[Any]) -> None:
    """In the file of the best, too, which loads without pickle."""
    space = {**X, "c": {"choice": options}}
    given: dict[str, Any] = {"executor": "serial", "state_dir": tmp_path}
    few, more, again = (optitrip.search(constant_loss, space, candidates=n, **given) for n in (5, 20, 20))
    assert len(list(tmp_path.iterdir())) == 1
    assert more.loss <= few.loss
    assert (again.loss, repr(again.x)) == (more.loss, repr(more.x))
    (file,) = tmp_path.glob("*/best.npz")
    with np.load(file) as stored:
        assert str(stored["c"]) == str(more.x["c"])


def test_a_loss_may_change_the_list_that_it_gets() -> None:
    """Law 8: the next candidate gets the list as it was written."""
    options = [[3, 1, 2], {"a": 1}]

    def spoiling(x: float, c: Any) -> float:
        size = float(len(c))
        c.clear()
        return size

    found = optitrip.search(spoiling, {**X, "c": {"choice": options}}, candidates=50, executor="serial")
    assert set(found.losses.tolist()) == {3.0, 1.0}
    assert options == [[3, 1, 2], {"a": 1}]


CHOICE = "[[1, [2]], { a = 1, b = [2.5] }, 'x', 3, 3.0, true, 2020-02-29, 07:32:00, 1979-05-27T07:32:00Z, nan]"


def test_a_sweep_file_holds_choices_of_all_that_toml_has(tmp_path: Path) -> None:
    """Nested lists, inline tables, dates and mixed types."""
    file = tmp_path / "options.toml"
    file.write_text(
        f'[objective]\nloss = "test_python_values:constant_loss"\n[space]\nx = {{ uniform = [1, 2] }}\n'
        f'c = {{ choice = {CHOICE} }}\n[method]\nuse = "search"\ncandidates = 200\nbest = 200\n'
    )
    sweep = read(file)
    values = [sweep.candidates.values(range(n, n + 1))["c"][0] for n in range(200)]
    assert {type(value) for value in values} == {
        list, dict, str, int, float, bool, datetime.date, datetime.time, datetime.datetime,
    }  # fmt: skip
    found: Any = optitrip.sweep(file, executor="serial", state_dir=tmp_path)
    assert found.loss > 1
    assert read(file).identity == sweep.identity


class Thing:
    size = 3


def sized(x: float, thing: Any) -> float:
    return x * (thing.size if isinstance(thing, Thing) else len(thing))


@pytest.mark.mostly_daily
@pytest.mark.parametrize(
    "thing",
    [Thing(), (1, 2, 3), {1: 1, 2: 2, 3: 3}, [[1], [2, 3], []], {"a", "b", "c"}],
    ids=lambda thing: type(thing).__name__,
)
@pytest.mark.parametrize("way", ["constants", "arguments"])
def test_any_object_may_be_a_constant_or_an_argument(way: str, thing: Any) -> None:
    """Of a search and of a gradient, whose only other parameter then needs no name."""
    given: Any = {way: {"thing": thing}, "executor": "serial"}
    found = optitrip.search(sized, X, candidates=20, **given)
    assert found.loss == found.x["x"] * 3
    assert optitrip.gradient(sized, 2.0, **given).gradient["x"] == pytest.approx(3.0)
    if way == "constants":
        assert found.x["thing"] is not None


def test_constants_are_those_of_a_sweep_file() -> None:
    """Numbers, strings and lists: the same sweep, with the same identity."""
    seen: list[Any] = []

    class Spy:
        def __call__(self, x: float, n: int, s: str, a: Array) -> float:
            return x * n * len(s) * float(a.sum())

        def report(self, **x: Any) -> dict[str, float]:
            seen.append(x)
            return {}

    constants = {"n": np.int64(2), "s": "ab", "a": np.array([1.0, 2.0])}
    spelled_out = {**X, "n": 2, "s": {"constant": "ab"}, "a": {"constant": [1.0, 2.0]}}
    one = optitrip.search(Spy(), X, candidates=9, constants=constants, executor="serial")
    two = optitrip.search(Spy(), spelled_out, candidates=9, executor="serial")
    assert one.loss == two.loss == one.x["x"] * 12
    assert list(one.x) == list(two.x) == ["x", "n", "s", "a"]


@pytest.mark.parametrize("way", ["constants", "arguments"])
def test_a_stored_sweep_has_only_what_a_text_says(tmp_path: Path, way: str) -> None:
    """Others are refused; those that it may have make a sweep of their own each."""
    for thing in [Thing(), {"a"}, [Thing()], lambda: 3]:
        stored: Any = {way: {"thing": thing}, "state_dir": tmp_path}
        with pytest.raises(optitrip.InputError, match=r"state_dir: thing cannot be stored.*no text"):
            optitrip.search(sized, X, candidates=3, **stored, executor="serial")
    labels: set[str] = set()
    for thing in [(1, 2), [1, 2], np.array([1, 2]), np.array([1.0, 2.0]), {1: 2}, {"1": 2}, "ab", b"ab", None]:
        given: dict[str, Any] = {"constants": {}, "arguments": {}, way: {"thing": thing}}
        objective = {"arguments": given["arguments"]}
        tables = {"objective": objective, "space": with_constants(X, **given), "method": METHOD}
        labels.add(resolve(python_draft(sized, tables, stored=True), tmp_path).label)
    # As constants, a list arrives as an array, as from a sweep file: these two are the same sweep.
    assert len(labels) == (9 if way == "arguments" else 8)


def test_a_name_given_twice_is_refused() -> None:
    """The space, the constants and the arguments may not disagree."""
    twice: list[Any] = [{"constants": {"x": 1.0}}, {"arguments": {"x": 1.0}}]
    for given in twice:
        with pytest.raises(optitrip.InputError, match="x is a variable or a constant too"):
            optitrip.search(constant_loss, X, candidates=3, **given)
    with pytest.raises(optitrip.InputError, match="arguments: c is"):
        optitrip.gradient(constant_loss, 1.0, constants={"c": 1}, arguments={"c": 1})
    with pytest.raises(optitrip.InputError, match="the arguments do not fit"):
        optitrip.search(constant_loss, X, candidates=3, arguments={"other": 1})


def test_a_session_keeps_a_loss_with_equal_arguments() -> None:
    """So that workers receive large ones once; others load it anew, and so does a change in place."""
    data, loss = np.arange(3.0), lambda x, c: x * float(c.sum())
    with optitrip.Session(executor="serial") as trip:
        call = lambda c: trip.search(loss, X, candidates=4, arguments={"c": c}).loss  # noqa: E731
        kept: list[Any] = []
        for c in (data, data, data + 1):
            call(c)
            kept.append(trip._loaded._last[2])  # pyright: ignore[reportOptionalSubscript, reportPrivateUsage]
        assert kept[0] is kept[1]
        assert kept[1] is not kept[2]
        before = call(data)
        data += 1
        assert call(data) == 2 * before
        trip.refresh(loss)
        assert trip._loaded._last is None  # pyright: ignore[reportPrivateUsage]


WHOLE: dict[str, tuple[Any, str]] = {
    "an integer": (2**53 + 1, "float64 would round"),
    "one of a list": ([1, 2**53 + 1], "float64 would round"),
    "one among floats": ([0.5, 2**53 + 1], "float64 would round"),
    "beyond 64 bits": (10**400, "float64 would round"),
    "unsigned": (np.uint64(2**63 + 1), "float64 would round"),
    "a truth": (np.array([True]), "no derivative"),
    "a date": (np.datetime64("2020"), "no derivative"),
    "objects": (np.array([object()]), "no derivative"),
}


@pytest.mark.parametrize("case", WHOLE)
def test_a_whole_number_is_not_rounded(case: str) -> None:
    """Law 8: x is what was given, or refused."""
    x, message = WHOLE[case]
    with pytest.raises(optitrip.InputError, match=message):
        optitrip.gradient(lambda x: float(np.sum(x)), x, executor="serial")
    assert optitrip.gradient(lambda x: x, 2**53, executor="serial").x == {"x": 2.0**53}


ARRAYS: list[Any] = [
    np.array([1.5, 2.0], np.float32), np.array([255, 1], np.uint8), np.array([[1, 2]], np.int32), np.array([1j]),
    np.array(["a", "bc"], "<U5"), np.array(["2020-01-01"], "M8[D]"), np.array([1.5]), np.array([True]),
]  # fmt: skip


@pytest.mark.parametrize("given", ARRAYS, ids=lambda given: str(given.dtype))
@pytest.mark.parametrize("way", ["constant", "choice"])
def test_an_array_keeps_its_type(given: Any, way: str) -> None:
    """The loss computes as it would in a plain loop, and so does one of batches, which gets a leading axis."""

    def loss(x: Any, c: Any) -> Any:
        wanted = np.broadcast_to(given, (*np.shape(x), *given.shape))
        assert (c.dtype, c.shape, c.tolist()) == (given.dtype, wanted.shape, wanted.tolist())
        assert not c.flags.writeable
        return x

    space, constants = (X, {"c": given}) if way == "constant" else ({**X, "c": {"choice": [given]}}, {})
    for mark in (lambda call: call, optitrip.batched)[: 2 if way == "constant" else 1]:
        call = mark(loss)
        found = optitrip.search(call, space, candidates=5, constants=constants, executor="serial")
        assert found.failures == {}
        assert found.x["c"].dtype == given.dtype


@pytest.mark.parametrize(
    "given", [np.array([1, 2]).view(np.recarray), np.datetime64("2020-01-01T00:00:00.000000001"), np.ma.array([1])]
)
def test_other_objects_of_numpy_are_constants_as_they_are(given: Any) -> None:
    """Also where the answer shows them."""
    found = optitrip.search(lambda x, c: float(type(c) is type(given)), X, candidates=2, constants={"c": given})
    assert found.loss == 1.0
    assert type(found.x["c"]) is type(given)


@pytest.mark.parametrize("given", [5, [("c", 1)], "c"])
@pytest.mark.parametrize("what", ["constants", "arguments"])
def test_values_that_are_not_by_name_are_refused(what: str, given: Any) -> None:
    """Before anything is evaluated."""
    for call in (
        lambda **more: optitrip.search(constant_loss, X, candidates=2, **more),
        lambda **more: optitrip.gradient(constant_loss, 1.0, **more),
    ):
        with pytest.raises(optitrip.InputError, match=f"{what}: was .*, wanted a dict of values by name"):
            call(**{what: given})
