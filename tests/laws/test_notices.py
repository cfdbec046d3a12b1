"""Nothing is silent from Python either: notices are logged, and exceptions carry what was found."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

import optitrip
from command import optitrip as command
from examples import search
from optitrip.core.notice import Code
from optitrip.core.observer import Progress, Times
from optitrip.core.part import Failures, Part
from optitrip.driver.run import Driver
from optitrip.journal.journal import Journal
from optitrip.output.outcome import Outcome
from optitrip.space.candidates import Candidates
from optitrip.space.variables import Space

SPACE = {"x": {"uniform": [-1, 1]}}


def bowl(x: float) -> float:
    return x * x


def always_nan(x: float) -> float:
    return x * float("nan")


def damaged(state_dir: Path) -> None:
    """Change the checksum of one row of a journal by hand."""
    (path,) = state_dir.glob("*/journal.sqlite")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE part SET crc = crc + 1 WHERE rowid = (SELECT max(rowid) FROM part)")


def searched(state_dir: Path) -> Any:
    return optitrip.search(bowl, SPACE, candidates=300, executor="serial", state_dir=state_dir)


WRITE = Journal.write


def refuse_writes(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Have every journal stop its sweep after so many writes."""
    left = [after]

    def refuse(self: Journal, *given: Any, **more: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise optitrip.Stopped("no room")
        return WRITE(self, *given, **more)

    monkeypatch.setattr(Journal, "write", refuse)


@pytest.fixture
def bowl_file(tmp_path: Path) -> str:
    """The name of a sweep file in the test's folder."""
    (tmp_path / "bowl.py").write_text("def loss(x): return x * x\n")
    (tmp_path / "bowl.toml").write_text(
        '[objective]\nloss = "bowl:loss"\n[space]\nx = { uniform = [-1, 1] }\n'
        '[method]\nuse = "search"\ncandidates = 300\n[run]\nexecutor = "serial"\n[tracking]\nuse = "none"\n'
    )
    return "bowl.toml"


def test_a_damaged_row_is_reported_through_logging(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Law 5: from Python, by default, a warning of the logger `optitrip`, with its code; the answer is the same."""
    before = searched(tmp_path)
    damaged(tmp_path)
    with caplog.at_level(logging.WARNING, logger="optitrip"):
        after = searched(tmp_path)
    codes = [getattr(record, "code", "") for record in caplog.records if record.name == "optitrip"]
    assert "journal-damaged" in codes
    assert (after.loss, after.index) == (before.loss, before.index)


@pytest.mark.daily
def test_a_warning_reaches_stderr_where_logging_is_not_configured(tmp_path: Path) -> None:
    """Python's own last resort prints it, as any library's."""
    (tmp_path / "it.py").write_text(
        "import sys, optitrip\n"
        "def bowl(x): return x * x\n"
        "if __name__ == '__main__':\n"
        "    import it\n"
        "    optitrip.search(it.bowl, {'x': {'uniform': [-1, 1]}}, candidates=300, executor='serial', state_dir='s')\n"
    )
    script = [sys.executable, "it.py"]
    subprocess.run(script, cwd=tmp_path, check=True)
    damaged(tmp_path / "s")
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "damaged" in done.stderr


def test_json_and_the_result_file_hold_the_notices(tmp_path: Path, bowl_file: str) -> None:
    """Each with level, code and text; a command that has nothing to warn of has none."""
    first = json.loads(command(tmp_path, "sweep", bowl_file, "--json").stdout)
    assert [notice for notice in first["notices"] if notice["level"] == "warning"] == []
    damaged(tmp_path / ".optitrip")
    done = command(tmp_path, "sweep", bowl_file, "--json")
    second = json.loads(done.stdout)
    warnings = [notice for notice in second["notices"] if notice["level"] == "warning"]
    assert {notice["code"] for notice in warnings} == {"journal-damaged"}
    assert all(notice["text"] in done.stderr for notice in warnings)
    (result,) = (tmp_path / ".optitrip").glob("*/result.json")
    assert json.loads(result.read_text())["notices"] == second["notices"]


def test_quiet_keeps_messages_from_the_terminal_only(tmp_path: Path, bowl_file: str) -> None:
    """Without progress and messages, the notices are in the object."""
    command(tmp_path, "sweep", bowl_file, "--quiet")
    damaged(tmp_path / ".optitrip")
    done = command(tmp_path, "sweep", bowl_file, "--quiet", "--json")
    assert done.stderr == ""
    assert "journal-damaged" in {notice["code"] for notice in json.loads(done.stdout)["notices"]}


def test_the_handlers_of_a_users_logging_are_untouched(tmp_path: Path) -> None:
    """A call adds no handler and changes no level."""
    logger = logging.getLogger("optitrip")
    before = list(logger.handlers), logger.level, logger.propagate, list(logging.getLogger().handlers)
    searched(tmp_path)
    assert (list(logger.handlers), logger.level, logger.propagate, list(logging.getLogger().handlers)) == before


def test_no_answer_has_the_failures() -> None:
    """`NoAnswer` and its outcome count the failures by kind; the message shows the first as it was raised."""
    with pytest.raises(optitrip.NoAnswer) as caught:
        optitrip.search(always_nan, SPACE, candidates=20, executor="serial")
    error = caught.value
    assert error.failures is not None
    assert error.failures.counts() == {"nan": 20}
    assert error.outcome is not None
    assert error.outcome.failures == {"nan": 20}
    assert error.outcome.best is None
    assert "candidate 0" in str(error)


@pytest.mark.daily
def test_a_stopped_search_has_the_best_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal refuses after a while; what was found before is in the exception."""
    refuse_writes(monkeypatch, after=3)
    with pytest.raises(optitrip.Stopped) as caught:
        optitrip.search(bowl, SPACE, candidates=100_000_000, executor="serial")
    outcome = caught.value.outcome
    assert outcome is not None
    assert outcome.status == "stopped"
    best: Any = outcome.best
    monkeypatch.undo()
    alone = optitrip.search(bowl, SPACE, candidates=outcome.items, executor="serial")
    assert (best.loss, best.index, best.x) == (alone.loss, alone.index, alone.x)


def sometimes_nan(x: float) -> float:
    return x if x > -0.5 else float("nan")


@pytest.mark.daily
@pytest.mark.parametrize("kept", [True, pytest.param(False, marks=pytest.mark.daily)])
def test_a_stopped_search_counts_what_failed(kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its journal, a file or in memory; where that cannot be read, what ended the sweep is still what is told."""

    def unreadable(self: Driver) -> Any:
        raise optitrip.StateError("the journal cannot be read")

    def stopped(seed: int) -> Outcome:
        refuse_writes(monkeypatch, after=1)
        options: Any = {"seed": seed, "state_dir": tmp_path if kept else None, "candidates": 100_000_000}
        with pytest.raises(optitrip.Stopped) as caught:
            optitrip.search(sometimes_nan, SPACE, executor="serial", **options)
        assert caught.value.outcome is not None
        return caught.value.outcome

    outcome = stopped(0)
    (x,) = Candidates(Space.parse(SPACE), 0).values(range(outcome.items)).values()
    assert outcome.failures == {"nan": int((x <= -0.5).sum())}
    monkeypatch.setattr(Driver, "failures", unreadable)
    assert stopped(1).failures == {}


def test_progress_keeps_no_failures() -> None:
    """A list of all of them, made anew for every part, would take more time the longer it gets."""
    progress = Progress(20)
    progress.stage(search(20))
    failed = Part(range(20), {}, Failures.of(dict.fromkeys(range(0, 20, 2), "nan")))
    progress.parts([(failed, Times([0], [0]))], new=True)
    assert vars(progress) == {"total": 20, "done": 20, "new": 20, "is_main": True}


def test_an_interrupted_search_has_the_best_so_far() -> None:
    """Ctrl-C in a notebook is a KeyboardInterrupt, with the outcome."""
    calls = [0]

    def interrupting(x: float) -> float:
        calls[0] += 1
        if calls[0] == 500:
            os.kill(os.getpid(), signal.SIGINT)
        return x * x

    with pytest.raises(KeyboardInterrupt) as caught:
        optitrip.search(interrupting, SPACE, candidates=1_000_000, executor="serial")
    error = caught.value
    assert isinstance(error, optitrip.Interrupted)
    assert error.outcome.status == "stopped"
    assert error.outcome.best is not None


def test_a_wrong_argument_has_no_outcome() -> None:
    """It is refused before a sweep begins."""
    with pytest.raises(optitrip.InputError) as caught:
        optitrip.search(bowl, {"x": {"uniform": [1]}}, candidates=10)
    assert caught.value.outcome is None


@pytest.mark.parametrize("code", get_args(Code))
def test_every_code_is_used(code: str) -> None:
    """A program that waits for a code of the list waits for something that can come."""
    sources = [path.read_text() for path in Path(optitrip.__file__).parent.rglob("*.py")]
    made = re.compile(rf'\b(info|warning)\(\s*"{code}"')
    assert any(made.search(source) for source in sources)


def test_python_minus_m_is_the_command() -> None:
    """`python -m optitrip` shows the same help."""
    done = subprocess.run([sys.executable, "-m", "optitrip", "--help"], capture_output=True, text=True, check=True)
    assert "sweep" in done.stdout


def test_a_library_of_threads_is_no_change_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that has imported, say, scikit-learn in the meantime resumes what it began without it."""
    from optitrip.store import provenance

    before = searched(tmp_path)
    there = provenance.threadpool_info()
    openmp = {"user_api": "openmp", "internal_api": "openmp", "filepath": "libgomp.so", "num_threads": 2}
    monkeypatch.setattr(provenance, "threadpool_info", lambda: [*there, openmp])
    after = searched(tmp_path)
    assert (after.loss, after.index) == (before.loss, before.index)
