"""The driver: stages from the route, results back to the route."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optitrip.driver.crew import Crew
from optitrip.driver.journal import Journal
from optitrip.driver.limits import Limits
from optitrip.driver.loop import Loop
from optitrip.driver.phases import Phases
from optitrip.driver.stage import Stage
from optitrip.driver.watch import Watch
from optitrip.errors import ShardDone
from optitrip.methods import Method
from optitrip.part import Part
from optitrip.routes import Route

MAIN = ("search", "gradient", "verification")
"""Kinds of stages whose items may be tried again."""


class Driver:
    """Runs a route to its end.

    Args:
        crew: that evaluates.
        block: of the objective.
        journal: that parts go to.
        watch: is told of what is in the journal.
        phases: in which the time of each kind of stage is counted.
        heed: called between slices; raises `Stopped` if someone asked to stop.
        limits: how long is waited, for what.
        retries: so many times is tried again what failed.
        retry_failed: what still fails is tried once more.
        share: of the search or the gradient, these of so many items alone; then `ShardDone` is raised.
    """

    def __init__(
        self,
        crew: Crew,
        block: int,
        journal: Journal,
        watch: Watch,
        phases: Phases,
        heed: Callable[[], None] = lambda: None,
        limits: Limits | None = None,
        *,
        retries: int = 0,
        retry_failed: bool = False,
        share: Callable[[int], range] | None = None,
    ) -> None:
        self._journal, self._watch, self._phases = journal, watch, phases
        self._loop = Loop(crew, block, watch, heed, limits or Limits())
        self._retries, self._retry_failed, self._share = retries, retry_failed, share

    @property
    def evaluated(self) -> dict[str, int]:
        """Items evaluated by this run, by kind of stage; those of earlier runs do not count."""
        return self._loop.evaluated

    @property
    def again(self) -> int:
        """Items that this run tried again."""
        return self._loop.again

    def run(self, route: Route) -> Any:
        """Run all stages.

        Returns:
            What the route returns.

        Raises:
            NoAnswer: from the route, because importing or preparing raised in a worker, or because too much failed.
            ShardDone: where only a share is wanted.
            Stopped: because someone asked to, there are no workers, or the journal cannot be written.
        """
        result: Any = None
        number = 0
        while True:
            try:
                method = route.send(result)
            except StopIteration as end:
                return end.value
            with self._phases.time(method.kind):
                result = self._stage(number, method)
            number += 1

    def _stage(self, number: int, method: Method) -> Any:
        stage = Stage(number, method, self._journal, self._watch)
        stage.begin()
        if self._share and method.kind in ("search", "gradient"):
            share = self._share(method.items)
            if gaps := stage.gaps(share):
                self._loop.evaluate(stage, gaps)
            raise ShardDone(share)
        items = method.items + 1
        while stage.ending.items < items:  # rows that go past an early end do not count: something may lack before it
            items = stage.ending.items
            if gaps := stage.gaps(range(items)):
                self._loop.evaluate(stage, gaps)
        if gaps := stage.gaps(range(items)):
            raise RuntimeError(f"stage {number} ({method.kind}) lacks {gaps} of {items}")
        whole = stage.whole(items)
        return method.result(self._tried_again(stage, whole) if method.kind in MAIN else whole)

    def _tried_again(self, stage: Stage, whole: Part) -> Part:
        """The whole with what later attempts have of the items that failed, after this run's own tries."""
        attempt, once_more = 1, self._retry_failed
        while failed := stage.failed(whole):
            gaps = [gap for run in failed for gap in stage.gaps(run, attempt)]
            if gaps and (attempt <= self._retries or once_more):
                once_more = once_more and attempt <= self._retries
                self._watch.say(f"trying again what failed: {sum(map(len, gaps)):,} items, attempt {attempt}")
                self._loop.evaluate(stage, gaps, attempt)
                gaps = [gap for run in failed for gap in stage.gaps(run, attempt)]
            if sum(map(len, gaps)) == sum(map(len, failed)):
                return whole  # this attempt has none of them
            whole = stage.replaced(whole, failed, attempt)
            attempt += 1
        return whole
