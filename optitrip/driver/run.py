"""The driver runs the stages that a route yields, and sends their results back to it."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Any

from optitrip.core.method import Method, Route, number_after
from optitrip.core.notice import info
from optitrip.core.part import Part
from optitrip.driver.elsewhere import check_elsewhere
from optitrip.driver.loop import Loop
from optitrip.driver.settings import Services
from optitrip.driver.sink import JournalSink, spot_check
from optitrip.driver.stage import Stage
from optitrip.errors import ShardDone
from optitrip.journal.rows import missing


@dataclass
class Driver:
    """Runs a route to its end."""

    services: Services
    block: int
    """Number of items per block of the objective."""
    _: KW_ONLY
    retries: int = 0
    """Number of times to retry failed items."""
    retry_failed: bool = False
    """True to retry the items that still fail once more."""
    share: Callable[[int], range] | None = None
    """Function that maps a main stage's item count to the range to evaluate before raising `ShardDone`, or None."""
    checked_since: int | None = None
    """Time in milliseconds since 1970: before a main stage is resumed, a row written since then is evaluated again, to
    check that the loss has not changed. None disables the check."""
    noise: float = 0.0
    """Relative difference between two evaluations of an item that is no change of the loss."""
    evaluated: Counter[str] = field(default_factory=Counter[str], init=False)
    """Number of items evaluated by this run, by kind of stage."""
    retried: int = field(default=0, init=False)
    """Number of items retried by this run."""
    evaluations: int = field(default=0, init=False)
    """Number of evaluations of the loss in this run, counted from the items of all stages."""

    def __post_init__(self) -> None:
        self._journal, self._loop = self.services.journal, Loop(self.services, self.block)
        self._chapters: list[dict[str, Any]] = []
        self._checked: set[int] = set()
        self._main: Stage | None = None
        self._remembered: Method | None = None
        """Last stage that was only read."""
        self._stored_before = self._told_of_stored = False
        """Whether a main stage that shares its number was complete, and whether the user knows where it goes on."""
        self._failed_before: Counter[str] = Counter()
        """Number of failed items by kind in the main stages before the last."""

    def run(self, route: Route) -> Any:
        """Run all stages, and return what the route returns.

        Raise NoAnswer if the route does, the objective cannot be set up or the required prefix fails; ShardDone after a
        share; Stopped after a request to stop, without workers or if the journal cannot be written; StateError if the
        loss no longer gives the results in the journal.
        """
        result: Any = None
        number = -1
        while True:
            try:
                method = route.send(result)
            except StopIteration as end:
                return end.value
            number = number_after(number, method)
            self._tell_of_memory(method)
            result = None
            if self._is_wanted(number, method):
                with self.services.phases.time(method.kind):
                    result = self._run_stage(number, method)

    def _tell_of_memory(self, method: Method) -> None:
        """Say from where a route goes on, once the last of what it remembers was read."""
        if self._remembered is not None and not method.only_stored:
            text = f"going on from {self._remembered.title(0)}, which is stored"
            self.services.observer.notice(info("resuming", text))
            self._remembered, self._told_of_stored = None, True

    def _tell_of_stored(self, stage: Stage) -> None:
        """Say that a sweep is resumed where its first main stages, of those that share a number, are stored."""
        if not (stage.method.main and stage.method.joins) or self._told_of_stored:
            return
        if stage.gaps(range(stage.method.items)):
            self._told_of_stored = True
            if self._stored_before:
                text = f"resuming: the first {stage.method.before:,} items are in the journal"
                self.services.observer.notice(info("resuming", text))
        else:
            self._stored_before = True

    def failures(self) -> dict[str, int]:
        """Count the failed items of main stages in the journal, by kind; raise StateError if it cannot be read."""
        stage, counts = self._main, self._failed_before.copy()
        if stage is not None:
            counts.update(self._journal.failures(stage.number, stage.digest, stage.method.items).counts())
        return dict(counts)

    def _is_wanted(self, number: int, method: Method) -> bool:
        """Return whether to run a stage: an optional one only if it is stored, or cheap beside the main stage."""
        if method.only_stored:
            stored = not missing(self._journal.tiling(number, method.digest(), method.items), method.items)
            self._remembered = method if stored else self._remembered
            return stored
        if not method.optional or self._journal.tiling(number, method.digest(), method.items):
            return True
        if self._main is None:
            return True
        main, evaluated = self._main.method, self.evaluated[self._main.method.kind]
        seconds = self.services.phases.seconds.get(main.kind, 0.0)
        return bool(evaluated) and (main.items >= 100 or seconds < evaluated)

    def _run_stage(self, number: int, method: Method) -> Any:
        stage = Stage(number, method, self._journal, self.services.observer)
        if method.main:
            if self._main is not None:
                self._failed_before = Counter(self.failures())
            self._main = stage
        stage.begin()
        self._tell_of_stored(stage)
        if self.share and method.main:
            share = self.share(method.items)
            self._fill(stage, share)
            raise ShardDone(share)
        while True:
            items = method.items + 1
            while stage.needed < items:  # rows beyond an early end do not count: items before it may be missing
                items = stage.needed
                self._fill(stage, range(items))
            if gaps := stage.gaps(range(items)):
                raise RuntimeError(f"stage {number} ({method.kind}) has {gaps} missing from its first {items} items")
            whole = stage.whole(items)
            if method.retried:
                whole = self._retry(stage, whole)
            if stage.ends_with(whole):
                if self.checked_since is not None and self.evaluated[method.kind] and method.main:
                    executor = self.services.executors.executor(self.services.raise_if_stopped)
                    check_elsewhere(self._loop, executor, stage, whole, self.noise)
                return method.result(whole)

    def _fill(self, stage: Stage, within: range) -> None:
        """Evaluate the items of a range that are not in the journal, after a spot check, made once per stage."""
        if not (gaps := stage.gaps(within)):
            return
        if self.checked_since is not None and stage.method.main and stage.number not in self._checked:
            self._checked.add(stage.number)
            if (row := self._journal.smallest_row(stage.number, stage.digest, self.checked_since)) is not None:
                compare = partial(spot_check, stage, self._journal, self.noise)
                self._loop.evaluate(stage, compare, (), whole_slices=[row])
                self.evaluations += stage.method.evaluations(row)
        self._evaluate(stage, gaps)

    def _evaluate(self, stage: Stage, gaps: Sequence[range], attempt: int = 0) -> None:
        sink = JournalSink(stage, attempt, self._chapters, self.services)
        try:
            self._loop.evaluate(stage, sink, gaps)
        finally:
            self.evaluated[stage.method.kind] += sink.items
            self.retried += sink.items if attempt else 0
            self.evaluations += sink.evaluations

    def _retry(self, stage: Stage, whole: Part) -> Part:
        """Retry failed items; return the whole with the results of all later attempts, earlier runs included."""
        attempt, once_more = 1, self.retry_failed
        while failed := stage.failed(whole):
            gaps = stage.gaps(*failed, attempt=attempt)
            if gaps and (attempt <= self.retries or once_more):
                once_more = once_more and attempt <= self.retries
                text = f"retrying {sum(map(len, gaps)):,} items that failed (attempt {attempt})"
                self.services.observer.notice(info("retrying", text))
                self._evaluate(stage, gaps, attempt)
                gaps = stage.gaps(*failed, attempt=attempt)
            if sum(map(len, gaps)) == sum(map(len, failed)):
                return whole  # no failed item has a result of this attempt
            whole = stage.replaced(whole, failed, attempt)
            attempt += 1
        return whole
