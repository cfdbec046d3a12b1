"""Result files are believed only as far as the journal says; what was touched is reported and made again."""

from __future__ import annotations

import errno
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from driver_setup import Recording
from optitrip.app.context import Options
from optitrip.app.run_sweep import run_sweep
from optitrip.errors import InputError, Stopped
from optitrip.journal.facts import StoredResult
from optitrip.journal.journal import Journal
from optitrip.runtime import files
from optitrip.store.inspect import overview
from optitrip.store.lookup import find_stored_sweep, read

SWEEP = """
seed = 3
[objective]
loss = "result_loss:loss"
[space]
x = { normal = [0, 1] }
[method]
use = "search"
candidates = 40
[run]
executor = "serial"
[tracking]
use = "none"
"""
LOSS = "def loss(x):\n    return (x - 1) ** 2\n"
AFTER = SWEEP.replace('"search"\ncandidates = 40', '"gradient"\nat = { best_of = "result" }')


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "result_loss", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "result_loss.py").write_text(LOSS)
    (tmp_path / "result.toml").write_text(SWEEP)
    return tmp_path


def run(*overrides: str) -> tuple[Any, Path]:
    outcome = run_sweep(read(Path("result.toml"), overrides), Options(), Recording())
    assert outcome.state_dir is not None
    return outcome, Path(outcome.state_dir)


def codes(outcome: Any) -> set[str]:
    return {notice.code for notice in outcome.notices if notice.level == "warning"}


def contents(state: Path) -> dict[str, bytes]:
    return {name: (state / name).read_bytes() for name in ("best.npz", "candidates.parquet", "losses.png")}


def foreign(path: Path) -> None:
    """Write a point that is not the best one, in a sound file."""
    with path.open("wb") as file:
        np.savez(file, x=np.array(99.0))


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


TOUCHED = {
    "foreign": foreign,
    "flipped": flipped,
    "empty": lambda path: path.write_bytes(b""),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "missing": lambda path: path.unlink(),
}


FILES = ["best.npz", "candidates.parquet", "losses.png", "result.json"]
EACH = [
    # Each way and each file once in the test command, all pairs once a day.
    pytest.param(file, how, marks=[] if place % len(TOUCHED) == number else pytest.mark.daily)
    for number, file in enumerate(FILES)
    for place, how in enumerate(TOUCHED)
]


@pytest.mark.mostly_daily
@pytest.mark.parametrize(("file", "how"), EACH)
def test_a_touched_file_is_reported_and_made_again(folder: Path, file: str, how: str) -> None:
    """A finished sweep run again evaluates nothing, sets the touched file aside, and makes the first bytes again."""
    first, state = run()
    before = contents(state)
    TOUCHED[how](state / file)
    touched = (state / file).read_bytes() if (state / file).exists() else None
    again, _ = run()
    assert (again.evaluated, again.answer.loss, codes(again)) == (0, first.answer.loss, {"result-files"})
    assert contents(state) == before
    assert json.loads((state / "result.json").read_text())["best"]["loss"] == first.answer.loss
    if touched is not None:
        assert (state / f"{file}.old-1").read_bytes() == touched
    third, _ = run()
    assert codes(third) == set()


def test_a_kill_while_the_result_is_stored_is_no_touched_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of three commands is killed once result.json is written, before the journal holds its digest."""
    first, _ = run()
    note = Journal.note

    def killed(self: Journal, *facts: Any) -> None:
        if any(isinstance(fact, StoredResult) for fact in facts):
            raise SystemExit("killed")
        note(self, *facts)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "note", killed)
        with pytest.raises(SystemExit):
            run()
    third, _ = run()
    assert (third.evaluated, third.answer.loss, codes(third)) == (0, first.answer.loss, set())


@pytest.mark.mostly_daily
@pytest.mark.parametrize("how", TOUCHED)
def test_no_gradient_is_taken_at_a_touched_point(folder: Path, how: str) -> None:
    """`best_of` refuses a best.npz that the journal does not know, and takes it once it is made again."""
    first, state = run()
    (folder / "after.toml").write_text(AFTER)
    TOUCHED[how](state / "best.npz")
    with pytest.raises(InputError, match=r"best\.npz is missing, or not as its journal says"):
        read(folder / "after.toml")
    run()
    assert read(folder / "after.toml").start_point.values["x"] == first.answer.x["x"]


def test_a_copied_state_of_another_sweep_gives_no_point(folder: Path) -> None:
    """A directory with the name of one sweep and the journal of another is no result of it."""
    _, state = run()
    state.rename(state.with_name("result-00000000"))
    (folder / "after.toml").write_text(AFTER)
    with pytest.raises(InputError, match="no finished search"):
        read(folder / "after.toml")


def test_show_goes_by_the_journal(folder: Path) -> None:
    """A loss edited in result.json is not shown; the file that differs is named."""
    first, state = run()
    table = json.loads((state / "result.json").read_text())
    table["best"]["loss"] = -12345.0
    (state / "result.json").write_text(json.dumps(table))
    shown = "\n".join(overview(*find_stored_sweep("result", folder / ".optitrip"), str))
    assert "12345" not in shown
    assert f"{first.answer.loss:.6g}"[:6] in shown
    assert "not as the journal says: result.json" in shown


def test_show_goes_by_the_sweep_file_in_the_journal(folder: Path) -> None:
    """The number of candidates edited in the stored sweep.toml is not shown, and the file is written again."""
    _, state = run()
    text = (state / "sweep.toml").read_text()
    (state / "sweep.toml").write_text(text.replace("= 40", "= 10"))
    sweep, _ = find_stored_sweep("result", folder / ".optitrip")
    assert sweep.items == 40
    run()
    assert (state / "sweep.toml").read_text() == text


@pytest.mark.mostly_daily
@pytest.mark.parametrize("how", ["missing", "empty", "without rows"])
def test_a_lost_journal_is_told_before_all_is_evaluated_again(folder: Path, how: str) -> None:
    """The directory with the unproven result is set aside as it is."""
    first, state = run()
    journal = state / "journal.sqlite"
    if how == "missing":
        journal.unlink()
    elif how == "empty":
        journal.write_bytes(b"")
    else:
        with sqlite3.connect(journal) as database:
            database.execute("DELETE FROM part")
    foreign(state / "best.npz")
    left = (state / "best.npz").read_bytes()
    again, _ = run()
    assert (again.evaluated, again.answer.loss, codes(again)) == (first.evaluated, first.answer.loss, {"state-changed"})
    (aside,) = state.parent.glob("*.old-1")
    assert (aside / "best.npz").read_bytes() == left


@pytest.mark.mostly_daily
@pytest.mark.parametrize("text", ["[]", "5", "null", "\x80", "{", "", '{"seed": 9}', "[" * 100_000])
def test_an_odd_identity_file_is_set_aside(folder: Path, text: str) -> None:
    """What proves no other sweep stops neither this one nor a new one of the same name."""
    first, state = run()
    file = state / "identity.json"
    before = file.read_bytes()
    file.write_text(text, "latin-1")
    other, _ = run("seed=4")
    assert codes(other) == set()
    again, _ = run()
    assert (again.evaluated, again.answer.loss, codes(again)) == (0, first.answer.loss, {"state-changed"})
    assert file.read_bytes() == before


def test_files_that_were_not_touched_are_not_written(folder: Path) -> None:
    """A finished sweep run again leaves them as they are, with more candidates all are new, and back again."""
    _, state = run()
    before = {name: (state / name).stat().st_ino for name in contents(state)}
    again, _ = run()
    assert codes(again) == set()
    assert {name: (state / name).stat().st_ino for name in contents(state)} == before
    small = contents(state)
    more, _ = run("method.candidates=60")
    assert (codes(more), more.evaluated) == (set(), 20)
    assert contents(state) != small
    back, _ = run()
    assert (codes(back), back.evaluated, contents(state)) == (set(), 0, small)


def full(number: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_half_a_file_takes_no_place_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is removed, and the file that was there before is left alone."""
    (tmp_path / "table.csv").write_text("old")
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_atomically(tmp_path / "table.csv", b"new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("table.csv", "old")]


@pytest.mark.usefixtures("folder")
def test_a_disk_that_is_full_after_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """That files are missing is said by the command and by `show`."""
    with monkeypatch.context() as patch:
        patch.setattr("optitrip.app.results.write_files", lambda *given: full(0))
        with pytest.raises(Stopped, match=r"^No space left on device: the answer is stored in .optitrip"):
            run()
    found = find_stored_sweep("result", Path(".optitrip"))
    assert "  finished, but its files are not complete; the command below writes them" in [*overview(*found, str)]
