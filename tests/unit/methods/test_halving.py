"""Bad candidates are stopped early: who goes on, what it costs, folders to go on from, and the answer's figures."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optitrip
from command import optitrip as run_optitrip
from command import optitrip_process
from driver_setup import driver
from optitrip.core.arrays import Array
from optitrip.core.observer import Observer
from optitrip.errors import InputError
from optitrip.executors.serial import Serial
from optitrip.loss.objective import Objective
from optitrip.loss.rung import Resource, with_resource
from optitrip.methods.search.halving import with_rungs
from optitrip.methods.search.halving_table import HalveTable, Halving, bracket_sizes
from optitrip.methods.search.method import Search
from optitrip.methods.search.rungs_progress import RungsProgress
from optitrip.methods.search.spec import search_route
from optitrip.space.candidates import Candidates
from optitrip.space.variables import Space

SPACE = {"x": {"uniform": [-1, 1]}}
HALVE = {"argument": "epochs", "from": 1, "to": 81, "factor": 3}


MODULE = "def loss(x, epochs):\n    return (x - 0.5) ** 2 + 1 / epochs\n"
FILE = """
[objective]
loss = "halved_by_file:loss"
[space]
x = { uniform = [-1, 1] }
[method]
use = "search"
candidates = 9
halve = { argument = "epochs", from = 1, to = 9, factor = 3 }
[tracking]
use = "none"
"""


def sweep_file(folder: Path, text: str = FILE, module: str = MODULE) -> str:
    (folder / "halved_by_file.py").write_text(module)
    (folder / "halved.toml").write_text(text)
    return str(folder / "halved.toml")


def learned(x: float, epochs: int) -> float:
    """A loss that falls with epochs, and whose order of candidates changes on the way."""
    return (x - 0.5) ** 2 + np.cos(40 * x) / epochs


def by_hand(losses: dict[int, Any], amounts: list[int], factor: int) -> tuple[list[list[int]], int]:
    """The candidates of each rung and the winner, as a loop would find them."""
    rungs = [sorted(losses)]
    for amount in amounts[:-1]:
        finite = [n for n in rungs[-1] if np.isfinite(losses[n](amount))]
        best = sorted(finite, key=lambda n: (losses[n](amount), n))
        rungs.append(sorted(best[: -(-len(rungs[-1]) // factor)]))
    return rungs, min(rungs[-1], key=lambda n: (losses[n](amounts[-1]), n))


def search(loss: Any = learned, candidates: int = 81, halve: Any = None, **options: Any) -> Any:
    return optitrip.search(loss, SPACE, candidates=candidates, halve={**HALVE, **(halve or {})}, **options)


def test_the_best_third_goes_on() -> None:
    """Rungs, losses and winner are those of a loop by hand; each call gets the amount of its rung."""
    found = search()
    drawn = {n: float(found.candidates.point(n)["x"][0]) for n in range(81)}
    losses = {n: lambda amount, x=x: learned(x, amount) for n, x in drawn.items()}
    rungs, winner = by_hand(losses, [1, 3, 9, 27, 81], 3)
    assert [rung.index.tolist() for rung in found.halved.rungs] == rungs
    for rung in found.halved.rungs:
        assert rung.loss.tolist() == [losses[n](rung.amount) for n in rung.index.tolist()]
    assert (found.index, found.loss) == (winner, losses[winner](81))
    assert found.evaluations == 81 + 27 + 9 + 3 + 1
    assert found.halved.cost == 5 * 81
    assert found.halved.full_cost == 81 * 81
    assert "405 of the 6,561 epochs" in " ".join(repr(found).split())


@pytest.mark.parametrize("candidates", [1, 2, 4, 40, 82])
def test_any_number_of_candidates(candidates: int) -> None:
    """Numbers of candidates are rounded up, so that at least one goes on."""
    found = search(candidates=candidates)
    sizes = [candidates]
    while len(sizes) < 5:
        sizes.append(-(-sizes[-1] // 3))
    assert [len(rung.index) for rung in found.halved.rungs] == sizes


def test_amounts_end_exactly_at_the_last() -> None:
    """Whole numbers stay whole; others are not rounded past the end."""
    halve = {"argument": "n", "from": 1, "to": 100, "factor": 3}
    assert HalveTable.model_validate(halve).amounts == (1, 3, 9, 27, 81, 100)
    assert HalveTable.model_validate({**halve, "to": 81}).amounts == (1, 3, 9, 27, 81)
    shares = HalveTable.model_validate({**halve, "from": 1 / 243, "to": 1.0}).amounts
    assert len(shares) == 6
    assert shares[-1] == 1.0
    assert all(isinstance(amount, float) for amount in shares)


def test_candidates_that_fail_never_go_on() -> None:
    """Exceptions, NaN and infinities are failures of their rung; ties go to the lowest index."""

    def fails(x: float, epochs: int) -> float:
        if x < -0.8:
            raise ValueError("too small")
        return np.nan if epochs == 9 and x < 0 else -np.inf if x > 0.9 else 1.0

    found = search(fails)
    first, *later = found.halved.rungs
    assert all(np.isfinite(rung.loss[np.searchsorted(rung.index, n)]) for rung in [first] for n in first.survivors)
    finite = first.index[np.isfinite(first.loss)]
    assert later[0].index.tolist() == finite[:27].tolist()
    failed = later[1].index[~np.isfinite(later[1].loss)]
    assert len(failed)
    assert not np.isin(failed, later[2].index).any()
    assert found.failures["nan"] == len(failed) == found.halved.failures.count
    assert found.index == later[-1].index[0]
    status = found.trials()["status"].tolist()
    assert [status[n] for n in failed.tolist()] == ["nan"] * len(failed)
    assert found.trials()["loss"].isna().sum() >= len(failed)


def test_without_a_finite_loss_in_the_last_rung_there_is_no_answer() -> None:
    """And it is said how far they got."""
    with pytest.raises(optitrip.NoAnswer, match="none of the 1 candidates that got to epochs = 81"):
        search(lambda x, epochs: np.nan if epochs == 81 else x)


def test_of_the_largest_the_best_third_goes_on() -> None:
    """Losses keep their sign."""
    found = search(lambda x, epochs: x + epochs, maximize=True)
    assert found.index == np.argmax(found.losses)
    assert found.loss == found.x["x"] + 81


def test_brackets_are_those_of_hyperband() -> None:
    """With R = 81 and a factor of 3, numbers and amounts are those of Table 1 of L. Li et al. (2018)."""
    assert bracket_sizes(143, 5, 5, 3) == [81, 34, 15, 8, 5]
    found = search(candidates=143, halve={"brackets": True})
    sizes: dict[int, list[tuple[int, int]]] = {}
    for rung in found.halved.rungs:
        sizes.setdefault(rung.bracket, []).append((len(rung.index), int(rung.amount)))
    assert sizes == {
        0: [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        1: [(34, 3), (12, 9), (4, 27), (2, 81)],  # the paper rounds down: 34, 11, 3, 1
        2: [(15, 9), (5, 27), (2, 81)],
        3: [(8, 27), (3, 81)],
        4: [(5, 81)],
    }
    edges = {rung.bracket: (rung.index[0], rung.index[-1]) for rung in reversed(found.halved.rungs)}
    assert edges == {0: (0, 80), 1: (81, 114), 2: (115, 129), 3: (130, 137), 4: (138, 142)}
    last = [rung for rung in found.halved.rungs if rung.amount == 81]
    assert found.loss == min(rung.loss.min() for rung in last)
    assert len(found.result.best_index) == 1 + 2 + 2 + 3 + 5


@pytest.mark.parametrize("candidates", [5, 6, 11, 100, 1_000])
def test_every_bracket_has_a_candidate(candidates: int) -> None:
    """The sizes add up, and never rise."""
    sizes = bracket_sizes(candidates, 5, 5, 3)
    assert sum(sizes) == candidates
    assert min(sizes) >= 1
    assert sorted(sizes, reverse=True) == sizes
    table = HalveTable.model_validate({**HALVE, "brackets": 2})
    assert [len(items) for items in Halving.of(table, candidates).brackets(candidates)] == bracket_sizes(
        candidates, 2, 5, 3
    )


class Counting:
    """A loss that notes in its folder what each rung gave it."""

    def digest(self) -> str:
        return "counting"

    def __call__(self, x: float, epochs: int, state_dir: str) -> dict[str, float]:
        notes = Path(state_dir) / "notes"
        before = notes.read_text().split() if notes.exists() else []
        notes.write_text(" ".join([*before, str(epochs)]))
        return {"loss": learned(x, epochs), "rungs": len(before)}


@pytest.mark.daily
def test_a_candidate_gets_its_own_folder_back(tmp_path: Path) -> None:
    """Each rung finds what the one before has left; at the end only the winner's folder is there."""
    found = search(Counting(), executor="serial", state_dir=tmp_path / "state")
    assert found.named == {"rungs": 4}
    assert found.halved.cost == 81 * 1 + 27 * 2 + 9 * 6 + 3 * 18 + 1 * 54
    (place,) = (tmp_path / "state").iterdir()
    assert (place / "best_state" / "notes").read_text() == "1 3 9 27 81"
    assert not (place / "states").exists()
    alone = search(Counting(), executor="serial")
    assert (alone.loss, alone.index, alone.named) == (found.loss, found.index, found.named)


@pytest.mark.daily
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_folders_go_from_worker_to_worker(workers: int) -> None:
    """In processes of their own: whoever takes a candidate on finds what another has left."""
    found = search(Counting(), candidates=27, isolate=True, workers=workers)
    alone = search(Counting(), candidates=27, executor="serial")
    assert (found.loss, found.index, found.named) == (alone.loss, alone.index, {"rungs": 4})
    assert [rung.loss.tobytes() for rung in found.halved.rungs] == [rung.loss.tobytes() for rung in alone.halved.rungs]
    assert found.halved.last_rungs["named rungs"].tolist() == (found.halved.last_rungs["rung"] - 1).tolist()


KILLED = """
import os
from pathlib import Path

def loss(x, epochs, state_dir):
    notes, stop = Path(state_dir) / "notes", Path("stop")
    before = notes.read_text().split() if notes.exists() else []
    notes.write_text(" ".join([*before, str(epochs)]))
    if stop.exists() and epochs == 3 and x > 0.5:
        stop.unlink()
        os._exit(9)
    return {"loss": (x - 0.5) ** 2 + 1 / epochs, "rungs": len(before)}
"""


@pytest.mark.daily
def test_a_sweep_that_is_killed_in_its_second_rung_gives_the_same_bits(tmp_path: Path) -> None:
    """What the killed call has written is gone: its next try begins with what the rung before has left."""
    path = sweep_file(tmp_path, FILE.replace("candidates = 9", "candidates = 30"), KILLED)
    words = ["sweep", path, "--executor", "serial", "--json"]
    whole = json.loads(optitrip_process(tmp_path, *words, "--state-dir", "whole").stdout)
    (tmp_path / "stop").touch()
    assert optitrip_process(tmp_path, *words).returncode == 9
    (place,) = (tmp_path / ".optitrip").iterdir()
    kept = {path.name for path in place.glob("states/run-*/*")}
    assert "1" in kept
    assert any(name.startswith("new-") for name in kept)
    table = run_optitrip(tmp_path, "table", path, "--best", "3").stdout.split()
    assert table[:2] == ["index", "first-rung"]
    assert "30 of 30 items are stored" in run_optitrip(tmp_path, "show", place.name).stdout
    again = json.loads(optitrip_process(tmp_path, *words).stdout)
    assert "crashed-before" in [notice["code"] for notice in again["notices"]]
    assert {**again["best"], "file": ""} == {**whole["best"], "file": ""}
    assert again["halving"] == whole["halving"]
    assert again["best"]["named"] == {"rungs": 2}
    assert (place / "best_state" / "notes").read_text() == "1 3 9"
    files = [(tmp_path / root / place.name / "candidates.parquet").read_bytes() for root in ("whole", ".optitrip")]
    assert files[0] == files[1]


class InBatches:
    """A loss in batches, which gets the amount as one number."""

    block = 8

    def __call__(self, x: float, epochs: int) -> float:
        return x * x + 1 / epochs

    def losses(self, x: Array, epochs: int) -> Array:
        assert isinstance(epochs, int)
        assert len(x) == 8
        return x * x + 1 / epochs

    def report(self, x: float, epochs: int) -> dict[str, float]:
        return {"epochs_of_report": epochs}


def test_batches_get_one_number() -> None:
    """And the report on the winner gets all of the resource."""
    found = search(InBatches())
    assert found.loss == found.x["x"] ** 2 + 1 / 81
    assert found.report == {"epochs_of_report": 81}


class OnlyInBatches:
    """A loss without a plain call."""

    def losses(self, x: Array, epochs: int) -> Array:
        return x * x + 1 / epochs


@optitrip.batched(block=4)
def marked(x: Array, scale: float, epochs: int) -> Array:
    """A batched function."""
    return scale * x * x + 1 / epochs


def test_batches_without_a_plain_call_are_halved() -> None:
    """And so are functions that are marked, with bound arguments."""
    alone = search(InBatches())
    found = search(OnlyInBatches())
    assert (found.loss, found.index) == (alone.loss, alone.index)
    found = search(marked, arguments={"scale": 1.0})
    assert (found.loss, found.index) == (alone.loss, alone.index)


def takes_both(x: Array, epochs: int, state_dir: str) -> Array:
    raise AssertionError(state_dir)


def test_a_batch_gets_no_folder() -> None:
    """It has many candidates."""
    with pytest.raises(optitrip.InputError, match="a batch has many"):
        search(optitrip.batched(takes_both))


def test_seeds_and_means_go_together_with_rungs() -> None:
    """A candidate has the same seed in each rung; a recheck has others, with all of the resource."""
    seen: list[tuple[float, int, int]] = []

    class Stays:
        def __call__(self, x: float, epochs: int, seed: int) -> float:
            seen.append((x, epochs, seed))
            return x * x + 1 / epochs

        def __reduce__(self) -> Any:
            raise TypeError("it stays here")

    with optitrip.Session(executor="serial") as session:
        found = session.search(
            Stays(), SPACE, candidates=9, halve={**HALVE, "to": 9}, recheck={"best": 2, "repeats": 2}
        )
    assert len({seed for x, _, seed in seen[:13] if x == found.x["x"]}) == 1
    assert [epochs for _, epochs, _ in seen] == [1] * 9 + [3] * 3 + [9] + [9] * 4
    assert len({seed for x, _, seed in seen if x == found.x["x"]}) == 3


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a variable": ({"halve": {**HALVE, "argument": "x"}}, "a variable of the space"),
    "a name of our own": ({"halve": {**HALVE, "argument": "seed"}}, "a meaning of its own"),
    "nothing to gain": ({"halve": {**HALVE, "from": 81}}, "wanted less than `to`"),
    "no amount": ({"halve": {**HALVE, "from": 0}}, "wanted a number above 0"),
    "too many brackets": ({"halve": {**HALVE, "brackets": 6}}, "wanted at most 5"),
    "too few candidates": ({"halve": {**HALVE, "brackets": True}, "candidates": 4}, "from 5 to 1,000,000 candidates"),
    "a screen": ({"halve": HALVE, "screen": "rough"}, "does not go together with halve"),
    "one dict": ({"halve": HALVE, "as_dict": True}, "by name"),
    "bound": ({"halve": HALVE, "arguments": {"epochs": 3}}, "bound by `arguments`"),
    "unknown": ({"halve": {**HALVE, "argument": "steps"}}, "the space has:       x, steps"),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_told_at_the_door(case: str) -> None:
    """Before anything is evaluated."""
    options, told = WRONG[case]
    given: Any = {"candidates": 9, **options}
    with pytest.raises(optitrip.InputError, match=told):
        optitrip.search(learned, SPACE, **given)


@pytest.mark.daily
def test_a_command_shows_the_rungs(tmp_path: Path) -> None:
    """As a table of at most 80 columns, in --json, in files; the plan tells them, and a shard is refused."""
    path = sweep_file(tmp_path)
    shown = run_optitrip(tmp_path, "sweep", path, "--executor", "serial")
    assert "best candidate" in shown.stdout
    assert all(len(line) <= 80 for line in shown.stdout.splitlines())
    done = json.loads(run_optitrip(tmp_path, "sweep", path, "--executor", "serial", "--json").stdout)
    halving = done["halving"]
    assert [rung["candidates"] for rung in halving["rungs"]] == [9, 3, 1]
    assert [rung["epochs"] for rung in halving["rungs"]] == [1, 3, 9]
    assert (halving["cost"], halving["full_cost"], halving["resumes"]) == (27, 81, False)
    folder = tmp_path / done["state_dir"]
    rows = list(csv.DictReader((folder / "rungs.csv").read_text().splitlines()))
    assert [row["candidates"] for row in rows] == ["9", "3", "1"]
    assert (folder / "rungs.png").read_bytes().startswith(b"\x89PNG")
    assert "epochs from 1 to 9 in 3 rungs" in run_optitrip(tmp_path, "check", path).stdout
    assert "several stages" in run_optitrip(tmp_path, "sweep", path, "--shard", "1/2").stderr
    table = run_optitrip(tmp_path, "table", path, "--best", "4").stdout
    assert table.split()[:3] == ["index", "loss", "epochs"]


def test_a_failure_is_replayed_with_the_amount_of_its_rung(tmp_path: Path) -> None:
    """So that it is seen again."""
    module = "def loss(x, epochs):\n    if epochs == 1: raise ValueError(f'no {epochs}')\n    return x\n"
    done = run_optitrip(tmp_path, "replay", sweep_file(tmp_path, module=module), "3")
    assert "candidate 3 with epochs = 1" in done.stdout + done.stderr
    assert "no 1" in done.stdout + done.stderr


def test_a_session_looks_at_the_amounts_of_each_call() -> None:
    """The same loss with other rungs is not what the last call has loaded."""
    with optitrip.Session(executor="serial") as session:
        for last in (9, 27, 9):
            found = session.search(learned, SPACE, candidates=9, halve={**HALVE, "to": last}, recheck={"repeats": 2})
            assert found.loss == learned(found.x["x"], last)


class Line(Observer):
    """What the live line says."""

    def __init__(self, candidates: int) -> None:
        table = HalveTable.model_validate(HALVE)
        points = Candidates(Space.parse(SPACE), 0)
        self.counted = RungsProgress(candidates, points, Halving.of(table, candidates))
        self.said: list[str] = []

    def stage(self, method: Any) -> None:
        self.counted.stage(method)

    def parts(self, written: Any, *, new: bool) -> None:
        self.counted.parts(written, new=new)
        self.said.append(self.counted.words())


def test_the_live_line_tells_the_rung() -> None:
    """Candidates count once; the best is that of the rung that runs."""
    objective = Objective(with_resource(learned, Resource("epochs", 81), ("x",), resumes=False))
    line = Line(81)
    method = with_rungs(Search(Candidates(Space.parse(SPACE), 0), 81), Halving.of(HalveTable.model_validate(HALVE), 81))
    answer = driver(objective, Serial, observer=line).run(search_route(method, objective.capabilities))
    first, *_, last = line.said
    assert first.startswith("Rung 1 of 5 | Attempt ")
    assert last.startswith("Rung 5 of 5, epochs 81 | 1 of 1 | Loss ")
    assert line.counted.done == 81
    best = line.counted.best()
    assert best is not None
    assert (best.loss, best.index, best.measure) == (answer.loss, answer.index, "rung-5")
    assert all(len(words) <= 80 for words in line.said)


def test_other_words_in_a_file_are_told_with_their_line(tmp_path: Path) -> None:
    """Early ends would look at the losses of the first rung."""
    told = run_optitrip(tmp_path, "check", sweep_file(tmp_path, FILE + "[stop]\ntarget_loss = 0.1\n"))
    assert told.returncode == 2
    assert "halved.toml:13" in told.stderr
    assert "losses of the first rung" in told.stderr


@pytest.mark.daily
def test_more_candidates_keep_the_losses_of_the_first_rung(tmp_path: Path) -> None:
    """Later rungs are evaluated anew, since others may go on; the answer is that of a sweep of that size alone."""
    path = sweep_file(tmp_path)

    def run(*words: str) -> dict[str, Any]:
        return json.loads(run_optitrip(tmp_path, "sweep", path, "--executor", "serial", "--json", *words).stdout)

    run()
    more = run("--set", "method.candidates=27")
    assert more["evaluated"] == 18
    alone = run("--set", "method.candidates=27", "--fresh")
    assert more["best"]["loss"] == alone["best"]["loss"]
    assert more["halving"] == alone["halving"]


PROGRAM = """
[program]
command = ["{python}", "{here}/train.py", "{state_dir}", "{epochs:04d}"]
templates = ["deck.in"]
parameters = "all.json"
keep = ["best"]
[space]
x = { uniform = [-1, 1] }
[method]
use = "search"
candidates = 9
halve = { argument = "epochs", from = 1, to = 9, factor = 3 }
[tracking]
use = "none"
"""
TRAIN = """
import json, pathlib, sys
notes, epochs = pathlib.Path(sys.argv[1]) / "notes", int(sys.argv[2])
before = int(notes.read_text()) if notes.exists() else 0
notes.write_text(str(epochs))
values = json.load(open("all.json"))
assert values["epochs"] == epochs and values["state_dir"] == sys.argv[1]
assert pathlib.Path("deck.in").read_text() == str(epochs)
print(values["x"] ** 2 + 1 / epochs + before / 1000)
"""


@pytest.mark.daily
def test_a_program_is_told_the_amount_and_its_folder(tmp_path: Path) -> None:
    """In the command, in templates and in the file of parameters; the best run that is kept has all of it."""
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "deck.in").write_text("@epochs@")
    (tmp_path / "trained.toml").write_text(PROGRAM.replace("{python}", sys.executable.replace("\\", "/")))
    words = ["sweep", str(tmp_path / "trained.toml"), "--json"]
    found = json.loads(run_optitrip(tmp_path, *words).stdout)
    assert found["halving"]["resumes"]
    assert [rung["candidates"] for rung in found["halving"]["rungs"]] == [9, 3, 1]
    best = found["best"]["loss"]
    folder = tmp_path / found["state_dir"]
    (kept,) = folder.glob("run-*")
    values = json.loads((kept / "all.json").read_text())
    assert values["epochs"] == 9
    assert best == values["x"] ** 2 + 1 / 9 + 3 / 1000
    assert (folder / "best_state" / "notes").read_text() == "9"


def test_a_program_that_does_not_ask_for_the_amount_is_refused(tmp_path: Path) -> None:
    """Each rung would be the same."""
    (tmp_path / "trained.toml").write_text(
        FILE.replace('[objective]\nloss = "halved_by_file:loss"', '[program]\ncommand = ["echo", "{x}"]')
    )
    done = run_optitrip(tmp_path, "sweep", str(tmp_path / "trained.toml"))
    assert done.returncode == 2
    assert "names no epochs" in done.stderr


def test_a_loss_without_the_argument_is_told_of_it() -> None:
    """By the name of `halve`, not as if the space had that variable; one with **parameters takes it."""
    halve = {"argument": "epochs", "from": 1, "to": 9}
    space: dict[str, Any] = {"x": {"uniform": [0, 1]}}
    with pytest.raises(InputError, match="takes no epochs, the argument of halve; add it as a parameter"):
        optitrip.search(lambda x: x, space, candidates=9, halve=halve, executor="serial")
    optitrip.search(lambda **given: given["x"] / given["epochs"], space, candidates=9, halve=halve, executor="serial")
