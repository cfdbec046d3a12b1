"""The driver: stages from the route, results back to the route."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optitrip.core.method import Method, Route
from optitrip.core.notice import info
from optitrip.core.observer import Observer
from optitrip.driver.crew import Crew
from optitrip.driver.journal import Journal
from optitrip.driver.limits import Limits
from optitrip.driver.loop import Loop
from optitrip.driver.phases import Phases
from optitrip.driver.stage import Stage
from optitrip.driver.witness import Witness
from optitrip.errors import ShardDone
from optitrip.part import Part


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
        witness_since: an earlier run's items, written since then, in milliseconds since 1970, are evaluated once more
            before others are, to see whether the loss is still the same; None to take that for granted.
    """

    def __init__(
        self,
        crew: Crew,
        block: int,
        journal: Journal,
        watch: Observer,
        phases: Phases,
        heed: Callable[[], None] = lambda: None,
        limits: Limits | None = None,
        *,
        retries: int = 0,
        retry_failed: bool = False,
        share: Callable[[int], range] | None = None,
        witness_since: int | None = None,
    ) -> None:
        self._journal, self._watch, self._phases = journal, watch, phases
        self._loop = Loop(crew, block, watch, heed, limits or Limits())
        self._retries, self._retry_failed, self._share = retries, retry_failed, share
        self._witness_since = witness_since
        self._witnessed: set[int] = set()

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
            InputError: if the loss is not what it was when the journal was begun.
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
        if self._share and method.main:
            share = self._share(method.items)
            self._fill(stage, share)
            raise ShardDone(share)
        while True:
            whole = self._first_tries(stage)
            if method.retried:
                whole = self._tried_again(stage, whole)
            if stage.ends_with(whole):
                return method.result(whole)

    def _first_tries(self, stage: Stage) -> Part:
        """All items up to where the stage ends, as far as first tries tell."""
        items = stage.method.items + 1
        while stage.ending.items < items:  # rows that go past an early end do not count: something may lack before it
            items = stage.ending.items
            self._fill(stage, range(items))
        if gaps := stage.gaps(range(items)):
            raise RuntimeError(f"stage {stage.number} ({stage.method.kind}) lacks {gaps} of {items}")
        return stage.whole(items)

    def _fill(self, stage: Stage, within: range) -> None:
        """Evaluate what the journal lacks of a range; before it, once a stage, the witness."""
        if not (gaps := stage.gaps(within)):
            return
        if self._witness_since is not None and stage.method.main and stage.number not in self._witnessed:
            self._witnessed.add(stage.number)
            witness = Witness(stage.number, stage.method, self._journal, self._witness_since)
            if witness.row is not None:
                self._loop.evaluate(witness, (), uncut=[witness.row])
        self._loop.evaluate(stage, gaps)

    def _tried_again(self, stage: Stage, whole: Part) -> Part:
        """The whole with what later attempts have of the items that failed, after this run's own tries."""
        attempt, once_more = 1, self._retry_failed
        while failed := stage.failed(whole):
            gaps = [gap for run in failed for gap in stage.gaps(run, attempt)]
            if gaps and (attempt <= self._retries or once_more):
                once_more = once_more and attempt <= self._retries
                self._watch.notice(
                    info("retrying", f"trying again what failed: {sum(map(len, gaps)):,} items, attempt {attempt}")
                )
                self._loop.evaluate(stage, gaps, attempt)
                gaps = [gap for run in failed for gap in stage.gaps(run, attempt)]
            if sum(map(len, gaps)) == sum(map(len, failed)):
                return whole  # this attempt has none of them
            whole = stage.replaced(whole, failed, attempt)
            attempt += 1
        return whole
