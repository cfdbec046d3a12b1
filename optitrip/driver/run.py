"""The driver: stages from the route, results back to the route."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from optitrip.core.method import Method, Route
from optitrip.core.notice import info
from optitrip.core.observer import Observer
from optitrip.core.part import Part
from optitrip.driver.loop import Loop
from optitrip.driver.settings import DEFAULT, Settings
from optitrip.driver.sink import JournalSink
from optitrip.driver.spot_check import SpotCheck
from optitrip.driver.stage import Stage
from optitrip.driver.stories import Stories
from optitrip.errors import ShardDone
from optitrip.journal.journal import Journal
from optitrip.runtime.clock import SYSTEM, Clock
from optitrip.runtime.stopwatch import Stopwatch

if TYPE_CHECKING:
    from optitrip.executors.manager import ExecutorManager


class Driver:
    """Runs a route to its end.

    Args:
        executors: that evaluate.
        block: of the objective.
        journal: that parts go to.
        observer: told of what is in the journal.
        phases: in which the time of each kind of stage is counted.
        raise_if_stopped: called between slices; raises `Stopped` if someone asked to stop.
        settings: how long is waited, for what.
        clock: to wait by, and to date rows with.
        retries: so many times is tried again what failed.
        retry_failed: what still fails is tried once more.
        share: of the search or the gradient, these of so many items alone; then `ShardDone` is raised.
        checked_since: an earlier run's items, written since then, in milliseconds since 1970, are evaluated once more
            before others are, to see whether the loss is still the same; None to take that for granted.
    """

    def __init__(
        self,
        executors: ExecutorManager,
        block: int,
        journal: Journal,
        observer: Observer,
        phases: Stopwatch,
        raise_if_stopped: Callable[[], None] = lambda: None,
        settings: Settings = DEFAULT,
        clock: Clock = SYSTEM,
        *,
        retries: int = 0,
        retry_failed: bool = False,
        share: Callable[[int], range] | None = None,
        checked_since: int | None = None,
    ) -> None:
        self._journal, self._observer, self._phases = journal, observer, phases
        self._raise_if_stopped, self._settings, self._clock = raise_if_stopped, settings, clock
        self._loop = Loop(executors, block, observer, phases, raise_if_stopped, settings, clock)
        self._retries, self._retry_failed, self._share = retries, retry_failed, share
        self._checked_since = checked_since
        self._stories = Stories()
        self._checked: set[int] = set()
        self._main: list[Stage] = []
        self.evaluated: dict[str, int] = {}
        """Items evaluated by this run, by kind of stage; those of earlier runs do not count."""
        self.again = 0
        """Number of items that this run tried again."""

    def run(self, route: Route) -> Any:
        """Run all stages.

        Returns:
            What the route returns.

        Raises:
            NoAnswer: from the route, because importing or preparing raised in a worker, or because too much failed.
            ShardDone: where only a share is wanted.
            Stopped: because someone asked to, there are no workers, or the journal cannot be written.
            StateError: if the loss is not what it was when the journal was begun.
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

    def failures(self) -> dict[str, int]:
        """Count by kind what failed of the items of main stages that are in the journal.

        Raises:
            StateError: if the journal cannot be read.
        """
        counts: Counter[str] = Counter()
        for stage in self._main:
            counts.update(stage.failures().counts())
        return dict(counts)

    def _stage(self, number: int, method: Method) -> Any:
        stage = Stage(number, method, self._journal, self._observer)
        self._main += [stage] if method.main else []
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
        while stage.needed < items:  # rows that go past an early end do not count: something may lack before it
            items = stage.needed
            self._fill(stage, range(items))
        if gaps := stage.gaps(range(items)):
            raise RuntimeError(f"stage {stage.number} ({stage.method.kind}) lacks {gaps} of {items}")
        return stage.whole(items)

    def _fill(self, stage: Stage, within: range) -> None:
        """Evaluate what the journal lacks of a range; before it, once a stage, a spot check."""
        if not (gaps := stage.gaps(within)):
            return
        if self._checked_since is not None and stage.method.main and stage.number not in self._checked:
            self._checked.add(stage.number)
            if (row := stage.smallest(self._checked_since)) is not None:
                self._loop.evaluate(stage, SpotCheck(stage, self._journal), (), uncut=[row])
        self._evaluate(stage, gaps)

    def _evaluate(self, stage: Stage, gaps: Sequence[range], attempt: int = 0) -> None:
        """Evaluate ranges of a stage into the journal."""
        sink = JournalSink(
            stage, attempt, self._stories, self._observer, self._raise_if_stopped, self._settings, self._clock
        )
        try:
            self._loop.evaluate(stage, sink, gaps)
        finally:
            kind = stage.method.kind
            self.evaluated[kind] = self.evaluated.get(kind, 0) + sink.items
            self.again += sink.items if attempt else 0

    def _tried_again(self, stage: Stage, whole: Part) -> Part:
        """The whole with what later attempts have of the items that failed, after this run's own tries."""
        attempt, once_more = 1, self._retry_failed
        while failed := stage.failed(whole):
            gaps = [gap for run in failed for gap in stage.gaps(run, attempt)]
            if gaps and (attempt <= self._retries or once_more):
                once_more = once_more and attempt <= self._retries
                self._observer.notice(
                    info("retrying", f"trying again what failed: {sum(map(len, gaps)):,} items, attempt {attempt}")
                )
                self._evaluate(stage, gaps, attempt)
                gaps = [gap for run in failed for gap in stage.gaps(run, attempt)]
            if sum(map(len, gaps)) == sum(map(len, failed)):
                return whole  # this attempt has none of them
            whole = stage.replaced(whole, failed, attempt)
            attempt += 1
        return whole
