"""Follows a job to its end: passes on what it prints, survives broken links, and finds the sweep's exit status."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from optitrip.errors import Stopped
from optitrip.jobs.client import Job, Unreachable

POLL_SECONDS = 1.0
POLLED_SHARE = 0.1
"""Greatest share of the time that is spent on reading the log, which comes as a whole each time."""
PATIENCE_SECONDS = 600.0
"""Seconds without an answer from the head after which it is given up."""
TERMINATED = 128 + 15
"""Exit status of a sweep that Ray's signal to stop has ended; Ray keeps none then."""
LOST = "JOB_SUPERVISOR_ACTOR_DIED"
"""Ray's word for a job whose node, or the process above it, has died."""


class Jobs(Protocol):
    """The two questions that are asked of a head."""

    def job(self, id: str) -> Job | None: ...
    def log(self, id: str) -> str: ...


@dataclass
class Follower:
    """Follows one job."""

    jobs: Jobs
    id: str
    show: Callable[[str], None]
    """Function that prints lines of the job."""
    say: Callable[[str], None]
    """Function that prints a message of optitrip's."""
    now: Callable[[], float]
    sleep: Callable[[float], None]
    _shown: int = 0
    """Number of characters of the log that have been shown."""

    def status(self) -> int:
        """Show the log until the job has ended; return the exit status of its sweep.

        Raise Stopped if the head is gone, or has forgotten the job.
        """
        answered, told, wait = self.now(), False, 0.0
        while True:
            self.sleep(wait)
            begun = self.now()
            try:
                job = self.jobs.job(self.id)
                if job is None:
                    raise Stopped(
                        f"the head does not know {self.id} any more; a new cluster has begun since. Submit the sweep "
                        "again: it resumes, if its state directory is on a disk that is still there"
                    )
                self._show_more(whole=not job.active)
            except Unreachable as error:
                if self.now() - answered > PATIENCE_SECONDS:
                    raise Stopped(f"{error}. The job may still run; submit again when the head is back") from None
                if not told:
                    self.say(f"the link to the head is broken; trying again ({error})")
                told, wait = True, 2 * POLL_SECONDS
                continue
            if told:
                self.say("the head answers again")
            answered, told = self.now(), False
            if not job.active:
                return exit_status(job, self.say)
            wait = max(POLL_SECONDS, (answered - begun) / POLLED_SHARE)

    def _show_more(self, *, whole: bool) -> None:
        """Show the lines of the log that are new, also the last one if the log is whole."""
        log = self.jobs.log(self.id)
        end = len(log) if whole else log.rfind("\n") + 1
        if end > self._shown:
            self.show(log[self._shown : end])
            self._shown = end


def exit_status(job: Job, say: Callable[[str], None]) -> int:
    """Return the exit status of the sweep of a job that has ended, and say why if it has none."""
    if job.exit_code is not None:
        return job.exit_code if job.exit_code >= 0 else 128 - job.exit_code
    if job.status == "SUCCEEDED":
        return 0
    if job.status == "STOPPED":
        say(f"{job.id} was stopped; submit the sweep again: it resumes")
        return TERMINATED
    reason = job.message.strip().splitlines() or ["without a reason"]
    if job.error_type == LOST:
        raise Stopped(f"{job.id} was lost with its node: {reason[0]}; submit the sweep again: it resumes")
    say(f"{job.id} could not be started: {reason[-1]}")
    return 1
