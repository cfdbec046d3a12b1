"""Following a job: its lines, each once, through broken links, to the exit status of its sweep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from optitrip.cli import jobs
from optitrip.errors import Stopped
from optitrip.jobs.client import Job, Unreachable
from optitrip.jobs.follow import PATIENCE_SECONDS, Follower

Answer = tuple[Job | None, str] | Exception


class World:
    """A head that gives one answer after the other, and a clock."""

    def __init__(self, *answers: Answer) -> None:
        self._answers, self._log = list(answers), ""
        self.time, self.shown, self.said = 0.0, "", list[str]()
        show: Callable[[str], Any] = self.show
        self.follower = Follower(self, "a", show, self.said.append, lambda: self.time, self.sleep)

    def job(self, id: str) -> Job | None:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        self.time += 0.01
        if isinstance(answer, Exception):
            raise answer
        job, self._log = answer
        return job

    def log(self, id: str) -> str:
        return self._log

    def show(self, text: str) -> None:
        self.shown += text

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def running(log: str) -> Answer:
    return Job("a", "RUNNING"), log


def ended(log: str, status: str = "FAILED", **more: Any) -> Answer:
    return Job("a", status, **more), log


BROKEN = Unreachable("http://head:8265 cannot be reached: Network is unreachable")


def test_lines_are_shown_once_and_whole() -> None:
    """A line that is not complete waits, except at the end."""
    world = World(running("one\ntw"), running("one\ntwo\n"), ended("one\ntwo\nthree", "SUCCEEDED", exit_code=0))
    assert world.follower.status() == 0
    assert world.shown == "one\ntwo\nthree"


def test_a_broken_link_is_mended_and_told_once() -> None:
    world = World(running("one\n"), BROKEN, BROKEN, BROKEN, running("one\ntwo\n"), ended("one\ntwo\n", exit_code=3))
    assert world.follower.status() == 3
    assert world.shown == "one\ntwo\n"
    assert [line.partition(" (")[0] for line in world.said] == [
        "the link to the head is broken; trying again",
        "the head answers again",
    ]


def test_a_head_that_stays_away_is_given_up_and_can_be_resumed() -> None:
    world = World(running("one\n"), BROKEN)
    with pytest.raises(Stopped, match="submit again") as raised:
        world.follower.status()
    assert raised.value.signal is None
    assert PATIENCE_SECONDS < world.time < 2 * PATIENCE_SECONDS


def test_a_new_head_has_forgotten_the_job() -> None:
    with pytest.raises(Stopped, match="resumes"):
        World(running("one\n"), BROKEN, (None, "")).follower.status()


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ({"status": "SUCCEEDED"}, 0),
        ({"exit_code": 1}, 1),
        ({"exit_code": 75}, 75),
        ({"exit_code": -9}, 137),
        ({"status": "STOPPED"}, 143),
        ({"error_type": "RUNTIME_ENV_SETUP_FAILURE", "message": "no room\nfor files"}, 1),
    ],
)
def test_the_exit_status_is_that_of_the_sweep(end: dict[str, Any], status: int) -> None:
    """As a shell would have it for a signal; 143 for a job that was stopped, for which Ray keeps none."""
    assert World(ended("", **end)).follower.status() == status


def test_a_job_that_was_lost_with_its_node_can_be_resumed() -> None:
    with pytest.raises(Stopped, match="Actor died"):
        World(ended("", error_type="JOB_SUPERVISOR_ACTOR_DIED", message="Actor died\n...")).follower.status()


def test_a_long_log_is_asked_for_less_often() -> None:
    """It comes as a whole each time: a tenth of the time at most."""
    world = World(running("x\n"), running("x\n"), ended("x\n", exit_code=0))
    slow = world.log

    def log(id: str) -> str:
        world.time += 3.0
        return slow(id)

    world.log = log
    world.follower.status()
    assert world.time > 2 * 30


def test_an_interruption_leaves_the_job_running(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C ends the following, and says how to go on and how to stop it."""

    def interrupted(_: Follower) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs.submitting, "submit", lambda *_, **__: "optitrip-bowl-12345678-1")
    monkeypatch.setattr(Follower, "status", interrupted)
    with pytest.raises(KeyboardInterrupt):
        jobs.run_submit(Path("bowl.toml"), [], [], "head:8265", None, follow=True)
    said = capsys.readouterr()
    assert said.out == "optitrip-bowl-12345678-1\n"
    assert "goes on" in said.err
    assert "ray job stop --address http://head:8265 optitrip-bowl-12345678-1" in said.err
