"""Guards that watch a stage, warn about problems, and may end it."""

import math
from collections.abc import Sequence

from optitrip.core.executor import Done
from optitrip.core.failures import Failures
from optitrip.core.method import Method
from optitrip.core.notice import info, warning
from optitrip.core.observer import Observer
from optitrip.driver.settings import Services
from optitrip.errors import NoAnswer, Stopped
from optitrip.scheduler.events import Drain
from optitrip.scheduler.state import State

LINES_SHOWN = 200
"""Number of lines shown of the loss's output on workers; a loss may print for every candidate."""
SLOW_BLOCK_SECONDS, BLOCKS_TIMED = 2.0, 5


class FailFast:
    """Ends a stage of more items once all of its required prefix has failed: the rest would hardly give an answer."""

    def __init__(self, method: Method) -> None:
        self._first = range(method.required_prefix if method.items > method.required_prefix else 0)
        self._method, self._failed, self._failures = method, 0, Failures()

    def see(self, items: range, failures: Failures) -> None:
        """Count the failures of a part, in any order; raise NoAnswer once all of the first items have failed."""
        within = range(items.start, min(items.stop, self._first.stop))
        if not within:
            return
        if not failures.cover(within):
            self._first = range(0)
            return
        self._failed += len(within)
        if items.start == 0:
            self._failures = failures
        if self._failed == len(self._first):
            what = f"the first {self._failed} items all failed" if self._failed > 1 else "the first item failed"
            raise NoAnswer(what, self._failures, self._method)


class NoWorkers:
    """Ends a stage after too long without workers."""

    def __init__(self, services: Services) -> None:
        self._observer, self._settings, self._clock = services.observer, services.settings, services.clock
        self._since, self._reported, self._seen = self._clock.monotonic(), False, False

    def check(self, slots: Sequence[str]) -> None:
        """Raise Stopped if there have been no workers for `wait_seconds`."""
        now, limit = self._clock.monotonic(), self._settings.wait_seconds
        if slots:
            self._since, self._reported, self._seen = now, False, True
        elif now - self._since > limit:
            raise Stopped(f"no workers for {limit:g} s")
        elif now - self._since > self._settings.no_workers_notice_seconds and not self._reported:
            self._reported = True
            wait = "[run] wait_seconds limits the wait" if limit == math.inf else f"up to wait_seconds = {limit:g}"
            if self._seen:
                self._observer.notice(warning("no-workers", f"all workers are gone; waiting for others ({wait})"))
            else:
                self._observer.notice(info("no-workers", f"waiting for the first worker ({wait})"))


class Cancellation:
    """Ends a stage after a request to stop, once the slices in flight have returned or `drain_seconds` have passed."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._stopping: Stopped | None = None

    def check(self, state: State) -> list[Drain]:
        """Return the event that tells the plan of a new request to stop; raise Stopped once the stage may end."""
        clock, events = self._services.clock, list[Drain]()
        if self._stopping is None:
            try:
                self._services.raise_if_stopped()
            except Stopped as error:
                self._stopping = error
                self._until = clock.monotonic() + self._services.settings.drain_seconds
                events.append(Drain())
        if self._stopping and (clock.monotonic() >= self._until or not any(state.in_flight())):
            raise self._stopping
        return events


class LossOutput:
    """Shows the loss's output on workers, up to LINES_SHOWN lines."""

    def __init__(self, observer: Observer) -> None:
        self._observer, self._lines_left = observer, LINES_SHOWN

    def show(self, outcome: Done) -> None:
        lines = outcome.output.rstrip().splitlines()[: self._lines_left]
        if not lines:
            return
        self._observer.notice(info("loss-output", "\n".join(lines)))
        self._lines_left -= len(lines)
        if not self._lines_left:
            text = f"(the loss prints more than {LINES_SHOWN} lines; the rest is not shown)"
            self._observer.notice(info("loss-output", text))


class ProcessChanges:
    """Warns once if the loss changes what later items find in their process."""

    def __init__(self, observer: Observer) -> None:
        self._observer, self._reported = observer, False

    def check(self, outcome: Done) -> None:
        if not outcome.changes or self._reported:
            return
        self._reported = True
        text = (
            f"the loss changes its process: {', '.join(outcome.changes)}. The next item of the same worker finds it "
            "changed, so results may depend on which worker evaluates what. Set it where the module is imported, or "
            "put it back before the loss returns"
        )
        if any("random" in name for name in outcome.changes):
            text += "; for random numbers, create a generator in the loss and seed it with the parameters"
        self._observer.notice(warning("process-changed", text))


class SlowBlocks:
    """Warns if even the fastest of the first blocks is slow."""

    def __init__(self, observer: Observer, block: int) -> None:
        self._observer, self._block = observer, block
        self._seconds: list[float] = []

    def check(self, outcome: Done) -> None:
        if self._block == 1 or not outcome.seconds or len(self._seconds) == BLOCKS_TIMED:
            return
        self._seconds.append(outcome.seconds / -(-len(outcome.part.items) // self._block))
        fastest = min(self._seconds)
        if len(self._seconds) == BLOCKS_TIMED and fastest > SLOW_BLOCK_SECONDS:
            text = f"a block of {self._block} candidates takes {fastest:.1f} s; a smaller [objective] block"
            self._observer.notice(info("slow-block", f"{text} would spread the work better over workers"))
