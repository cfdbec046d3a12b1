"""An item may have several points: what failed, is shown and replayed is the point that failed."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import optitrip
from examples import METHODS, draws
from optitrip.cli.main import app
from optitrip.core.arrays import Array
from optitrip.core.failures import DIED, Failures, Record
from optitrip.core.point import Point
from optitrip.driver.guards import FailFast
from optitrip.errors import NoAnswer
from optitrip.loss.objective import Objective
from optitrip.methods.gradient.method import Gradient, gradient_of
from optitrip.methods.gradient.structured import deltas_of
from optitrip.methods.search.screening import Verification
from optitrip.methods.shared import Report
from optitrip.output.text import first_failure
from optitrip.space.variables import arguments

HERE = Path(__file__).parent
LOWEST = [0.4]
"""The lowest value that an entry may have."""
SWEEP = """
[objective]
loss = "test_sides:{loss}"
[space]
x = {{ shape = [3] }}
[method]
use = "gradient"
scheme = "{scheme}"
step = 0.25
errors = false
at = {{ fill = 0.5 }}
[run]
executor = "serial"
[tracking]
use = "none"
"""


def picky(x: Array) -> float:
    """A loss that cannot be computed where the second entry is small."""
    if x[1] < LOWEST[0]:
        raise ValueError(f"{x[1]} is too small")
    return float(np.square(x).sum())


@optitrip.batched
def picky_batch(x: Array) -> Array:
    if (x[:, 1] < LOWEST[0]).any():
        raise ValueError("too small")
    return np.square(x).sum(axis=1)


def gappy(x: Array) -> float:
    """A loss that has no value there."""
    return math.nan if x[1] < LOWEST[0] else float(np.square(x).sum())


class Structured:
    """The picky loss with deltas, which are not finite where the loss has no value."""

    def __call__(self, x: Array) -> float:
        return picky(x)

    def around(self, x: Array) -> Structured:
        self.x = x
        return self

    def deltas(self, coordinates: Array, steps: Array) -> Array:
        deltas = steps * (2 * self.x[coordinates] + steps)
        deltas[(coordinates == 1) & (self.x[coordinates] + steps < LOWEST[0])] = np.nan
        return deltas


class Refusing(Structured):
    """Its deltas raise as a whole."""

    def deltas(self, coordinates: Array, steps: Array) -> Array:
        raise ValueError("not today")


LOSSES: dict[str, Any] = {"plain": picky, "batched": picky_batch, "not finite": gappy, "deltas": Structured()}
KIND = {"plain": "raised", "batched": "raised", "not finite": "nan", "deltas": "nan"}
SIDE = {"forward": None, "backward": 0, "central": 1}
"""The side of x - h, by scheme; forward differences have none."""


def gradient(scheme: str, loss: str = "plain", x: float = 0.5) -> Gradient:
    method = gradient_of(Point({"x": np.full(3, x)}, ("x",)), np.arange(3), scheme, 0.25)
    return deltas_of(method) if loss == "deltas" else method


def evaluated(method: Gradient, loss: Any) -> Failures:
    objective = Objective(loss)
    return method.evaluate(method.prepare(objective), range(method.items)).failures


def shown(text: str) -> list[Array]:
    """The values of x in a message or an output."""
    return [np.array(list(map(float, row.split()))) for row in re.findall(r"^  x = \[(.*)\]$", text, re.MULTILINE)]


def fails(x: Array) -> bool:
    """Whether the loss raises there."""
    try:
        picky(x)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("scheme", SIDE)
def test_a_failure_names_the_side_that_failed(scheme: str, loss: str) -> None:
    """Its record, its title and the parameters that are shown are those of x - h, at which the loss does fail."""
    method = gradient(scheme, loss)
    found = evaluated(method, LOSSES[loss])
    if SIDE[scheme] is None:
        assert found.count == 0
        return
    ((kind, (record,)),) = found.records.items()
    assert (kind, record.index, record.side) == (KIND[loss], 2, SIDE[scheme])
    assert [fails(arguments(method.point(2, side), 0)["x"]) for side in range(method.sides(2))] == [
        side == record.side for side in range(method.sides(2))
    ]
    text = first_failure(found, method)
    assert f"x with x[1] one step -h ({kind}), with\n" in text
    (x,) = shown(text)
    assert fails(x)


@pytest.mark.parametrize("split", [1, 2, 3])
def test_sides_do_not_depend_on_slices(split: int) -> None:
    """Parts of slices merge to the failures of the whole, sides included, and come back from their bytes."""
    method = gradient("central")
    whole = method.evaluate(Objective(picky), range(4))
    parts = [method.evaluate(Objective(picky), one) for one in (range(split), range(split, 4))]
    assert method.merge(*parts).failures == whole.failures == Failures.from_bytes(whole.failures.to_bytes())


def test_only_a_side_that_is_not_the_first_is_written() -> None:
    """Records of the first point have the bytes that they had before items had several."""
    records = [Record(1, "E", "m", "t"), Record(2, "E", "m", "t", side=1), Record(3, "E", "m", "t", side=None)]
    failures = Failures.of(dict.fromkeys((1, 2, 3), "raised"), [("raised", record) for record in records])
    written = json.loads(failures.to_bytes())["records"]["raised"]
    assert [record.get("side", "(none)") for record in written] == ["(none)", 1, None]
    assert Failures.from_bytes(failures.to_bytes()) == failures


def test_where_both_sides_fail_the_first_is_told() -> None:
    """It is what was evaluated first."""
    found = evaluated(gradient("central", x=0.1), lambda x: picky(x) if x[1] == 0.1 else picky(np.zeros(3)))
    assert {record.side for record in found.records["raised"]} == {0}


def test_a_step_that_leaves_the_numbers_names_its_side() -> None:
    """Below the most negative number there is none, above it there is."""
    method = gradient_of(Point({"x": np.array([-1.5e308])}, ("x",)), np.arange(1), "central", 1e308)
    (record,) = method.without_step(range(2))
    assert (record.index, record.side) == (1, 1)
    assert method.title(1, 1) == "x with x[0] one step -h"
    assert method.without_step(range(2)) == [record]


def test_nobody_knows_at_which_side_a_worker_died() -> None:
    """The title claims none, and both points are shown; x itself is one point, and so is a candidate."""
    method = gradient("central")
    died = [(DIED, Record(item, "WorkerDied", "3 workers died", "")) for item in (0, 2)]
    found = method.failed_part(range(3), died).failures
    assert [record.side for record in found.records[DIED]] == [0, None]
    text = first_failure(method.failed_part(range(1, 3), died[1:]).failures, method)
    assert "x with x[1] one step +h or -h (died), with\n" in text
    plus, minus = shown(text)
    assert (plus[1], minus[1]) == (0.75, 0.25)
    assert method.title(0, None) == "x itself"
    assert METHODS["search"](9).title(3, None) == "candidate 3"
    backward = gradient("backward").failed_part(range(1, 3), died[1:]).failures
    assert [record.side for record in backward.records[DIED]] == [0]


def test_one_call_of_deltas_is_for_both_sides() -> None:
    """If it raises, no side is at fault more than the other."""
    central, forward = (evaluated(gradient(scheme, "deltas"), Refusing()) for scheme in ("central", "forward"))
    assert [record.side for record in central.records["raised"]] == [None] * 3
    assert [record.side for record in forward.records["raised"]] == [0] * 3


@pytest.mark.parametrize("word", METHODS)
def test_every_item_has_points(word: str) -> None:
    """Each side of each item has a title of its own and values; the items of checks and reports are others' points."""
    method = METHODS[word](5)
    for item in range(method.items):
        titles = [method.title(item, side) for side in range(method.sides(item))]
        assert len(set(titles)) == len(titles) >= 1
        for side in range(method.sides(item)):
            assert {len(values) for values in method.point(item, side).values()} == {1}
    assert Report(draws(), 7).title(0) == "candidate 7"
    assert Report(draws(), 7).point(0)["x"].tobytes() == draws().point(7)["x"].tobytes()
    assert Verification(draws(), (4, 8)).title(1) == "candidate 8"


def test_without_f_of_x_the_message_shows_x_itself() -> None:
    """Its loss is computed once, and it has no side."""
    method = gradient("central", x=0.1)
    failures = evaluated(method, picky)
    with pytest.raises(NoAnswer) as caught:
        FailFast(method).see(range(1), failures)
    text = first_failure(caught.value.failures, caught.value.points)
    assert "x itself (raised), with\n" in text
    assert shown(text)[0].tolist() == [0.1, 0.1, 0.1]


def test_from_python_an_answer_tells_the_point_that_failed() -> None:
    """The message of a gradient that lacks a coordinate, and the exception of one that has none."""
    answer = optitrip.gradient(picky, np.full(3, 0.5), scheme="central", step=0.25, errors=False)
    assert answer.flags["x"].tolist() == [0, 64 | 256, 0]  # from the other side
    assert "x with x[1] one step -h" in answer.message()
    assert fails(shown(answer.message())[0])
    with pytest.raises(optitrip.NoAnswer, match=r"one step -h \(raised\), with\n  x = 0\.25\n"):
        optitrip.gradient(lambda x: x if x >= 0.5 else picky(np.zeros(3)), 0.5, scheme="backward", step=0.25)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """A command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(HERE))
    return lambda *words, keys="": CliRunner().invoke(app, list(words), input=keys)


def file(scheme: str = "central", loss: str = "picky") -> None:
    Path("side.toml").write_text(SWEEP.format(scheme=scheme, loss=loss))


@pytest.mark.parametrize("loss", ["picky", "picky_batch"])
@pytest.mark.parametrize("scheme", ["central", "backward"])
def test_a_file_is_told_shown_and_replayed_at_the_point_that_failed(
    command: Callable[..., Result], scheme: str, loss: str
) -> None:
    """The command, the ledger and the replay say x - h; programs find the side where it is not the first."""
    file(scheme, loss)
    swept = command("sweep", "side.toml", "--quiet")
    assert swept.exit_code == 3
    assert "x with x[1] one step -h (raised), with" in swept.output
    assert fails(shown(swept.output)[0])
    listed = command("show", "side", "--failures").stdout
    assert f"  2{', x - h' if scheme == 'central' else ''}: ValueError: " in listed
    stages = json.loads(command("show", "side", "--json").stdout)["stages"]
    (main,) = (stage for stage in stages if stage["kind"] == "gradient")
    (record,) = main["failures"]["raised"]["first"]
    assert record.get("side") == (1 if scheme == "central" else None)
    for name in ("side", "side.toml"):
        again = command("replay", name, "2")
        assert (again.exit_code, "\nValueError: " in again.stderr) == (1, True)
        assert again.stdout.startswith("x with x[1] one step -h of side-")
        assert len(shown(again.stdout)) == 1
        assert fails(shown(again.stdout)[0])


def test_without_a_record_every_point_is_replayed(command: Callable[..., Result]) -> None:
    """Each with its title, its parameters and what it returned: of an item that did not fail, and of any before a
    sweep was run; x itself is one point."""
    file()
    for swept in (False, True):
        if swept:
            command("sweep", "side.toml", "--quiet")
        fine = command("replay", "side.toml", "1")
        assert fine.exit_code == 0
        titles = [line.partition(" of ")[0] for line in fine.stdout.splitlines() if line.startswith("x with")]
        assert titles == ["x with x[0] one step +h", "x with x[0] one step -h"]
        values = [float(line) for line in fine.stdout.splitlines() if not line.startswith(("x ", "  x"))]
        assert values == [picky(x) for x in shown(fine.stdout)] == [1.0625, 0.5625]
        itself = command("replay", "side.toml", "0").stdout
        assert itself.startswith("x itself of ")
        assert [x.tolist() for x in shown(itself)] == [[0.5] * 3]
        failing = command("replay", "side.toml", "2")
        assert (failing.exit_code, "\nValueError: " in failing.stderr) == (1, True)
        assert len(shown(failing.stdout)) == (1 if swept else 2)
        assert fails(shown(failing.stdout)[-1])


def test_what_a_later_try_mended_is_replayed_at_every_point(
    command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last try counts."""
    file()
    command("sweep", "side.toml", "--quiet")
    monkeypatch.setattr("test_sides.LOWEST", [0.0])
    assert command("sweep", "side.toml", "--quiet", "--retry-failed").exit_code == 0
    assert len(shown(command("replay", "side", "2").stdout)) == 2


@pytest.mark.parametrize("swept", [False, True])
def test_the_debugger_stops_at_the_point_that_fails(command: Callable[..., Result], swept: bool) -> None:
    """Whether the journal knows which one it is or not, x is that of x - h when the debugger first asks."""
    file()
    if swept:
        command("sweep", "side.toml", "--quiet")
    trace = sys.gettrace()
    inside = command("replay", "side.toml", "2", "--pdb", keys="p x.tolist()\nc\nq\n")
    sys.settrace(trace)  # the debugger takes its place; whoever measures coverage goes on
    assert "[0.5, 0.25, 0.5]" in inside.stdout
    assert "x with x[1] one step +h" not in inside.stdout


def test_a_call_of_deltas_that_raised_is_listed_without_a_side(command: Callable[..., Result]) -> None:
    """Programs find null there."""
    file(loss="Refusing")
    Path("side.toml").write_text(Path("side.toml").read_text().replace("[space]", "deterministic = false\n[space]"))
    assert command("sweep", "side.toml", "--quiet").exit_code == 1
    assert "\n  1: ValueError: not today" in command("show", "side", "--failures").stdout
    (stage,) = json.loads(command("show", "side", "--json").stdout)["stages"]
    assert [record["side"] for record in stage["failures"]["raised"]["first"]] == [None] * 3
