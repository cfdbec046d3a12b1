"""The one loop: stages from the route, slices to the executor, parts to the journal, results back to the route."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from optitrip.driver import plan
from optitrip.driver.crew import Crew
from optitrip.driver.ending import Ending
from optitrip.driver.journal import Journal, Unwritable, missing
from optitrip.driver.phases import Phases
from optitrip.driver.watch import Watch
from optitrip.errors import InputError, NoAnswer, ShardDone, Stopped
from optitrip.executors import Done, Executor, Failed
from optitrip.methods import Method, merged
from optitrip.part import TIMEOUT, Failures, Part, Record
from optitrip.routes import Route

WAIT_SECONDS, PATIENCE_SECONDS = 0.2, 20.0
WRITE_SECONDS = 0.1
"""From one transaction of the journal to the next: to wait for the disk costs more than all else of a slice."""
PAUSE_SECONDS, DRAIN_SECONDS = 60.0, 10.0
LINES_SHOWN = 200
"""Of what a loss prints on workers; it may print for every candidate."""
SLOW_BLOCK_SECONDS, BLOCKS_TIMED = 2.0, 5


class Driver:
    """Runs a route to its end."""

    def __init__(
        self,
        crew: Crew,
        block: int,
        journal: Journal,
        watch: Watch,
        phases: Phases,
        heed: Callable[[], None] = lambda: None,
        write_seconds: float = WRITE_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
        drain_seconds: float = DRAIN_SECONDS,
        share: Callable[[int], range] | None = None,
        timeout_seconds: float | None = None,
        wait_seconds: float = math.inf,
    ) -> None:
        self._crew, self._block, self._journal, self._watch, self._phases = crew, block, journal, watch, phases
        self._heed = heed
        """Called between slices; raises `Stopped` if someone asked to stop."""
        self._write_seconds = write_seconds
        self._pause_seconds, self._drain_seconds = pause_seconds, drain_seconds
        """How long a disk without room is waited for; and slices that were begun, when someone asks to stop."""
        self._wait_seconds = wait_seconds
        """How long workers are waited for when there are none."""
        self._timeout_seconds = timeout_seconds
        """An item may take so long."""
        self._share = share
        """Of the search or the gradient, these of so many items alone; then `ShardDone` is raised."""
        self._unlimited = False
        self._lines_left = LINES_SHOWN
        self._block_seconds: list[float] = []
        self.evaluated: dict[str, int] = {}
        """Items evaluated by this run, by kind of stage; those of earlier runs do not count."""

    def run(self, route: Route) -> Any:
        """Run all stages.

        Returns:
            What the route returns.

        Raises:
            NoAnswer: from the route, or because importing or preparing raised in a worker.
            ShardDone: where only a share is wanted.
            Stopped: because workers kept dying, or someone asked to.
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
        digest = method.digest()
        self._journal.begun(number, digest, method.kind, method.items)
        tiles = self._journal.tiling(number, digest, method.items)
        gaps = missing(tiles, method.items)
        self._watch.stage(method, sum(map(len, tiles)))
        hopeless, ending = Hopeless(method), Ending(method)
        for found in self._journal.parts(number, digest, tiles):
            self._watch.parts([found], new=False)
            hopeless.see(found[0].items, found[0].failures)
            ending.see(found[0])
        if self._share and method.kind in ("search", "gradient"):
            self._evaluate_share(number, method, digest, self._share(method.items), hopeless)
        items = method.items
        while True:
            if ending.items < items:  # rows that go past it do not count, so something may be missing before it
                items = ending.items
                tiles = self._journal.tiling(number, digest, items)
                gaps = missing(tiles, items)
            if not gaps:
                break
            self._evaluate(number, method, digest, gaps, hopeless, ending)
            tiles = self._journal.tiling(number, digest, items)
            gaps = missing(tiles, items)
            if gaps and ending.items == items:
                raise RuntimeError(f"stage {number} ({method.kind}) lacks {gaps} of {items}")
        whole = merged([part for part, _ in self._journal.parts(number, digest, tiles)], method.merge)
        return method.result(whole)

    def _evaluate_share(self, number: int, method: Method, digest: bytes, share: range, hopeless: Hopeless) -> None:
        """Evaluate what is missing of a share.

        Raises:
            ShardDone: then.
        """
        begun = self._journal.tiling(number, digest, share.stop, share.start)
        gaps = missing(begun, share.stop, share.start)
        if gaps:
            self._evaluate(number, method, digest, gaps, hopeless, Ending(method))
        raise ShardDone(share)

    def _evaluate(
        self, number: int, method: Method, digest: bytes, gaps: Sequence[range], hopeless: Hopeless, ending: Ending
    ) -> None:
        executor = self._crew.executor()
        executor.stage(number, method)
        self._limit(executor)
        state = plan.begin(gaps, method.block or self._block, self._crew.next_ticket, self._timeout_seconds)
        events: list[plan.Event] = []
        held: list[Done] = []
        write_at = drained_at = 0.0
        stopping: Stopped | None = None
        needed = ending.items
        alone_since, told_alone = time.monotonic(), False
        try:
            while True:
                state, actions = plan.step(state, [*events, plan.Slots(executor.slots)])
                abort = next((action for action in actions if isinstance(action, plan.Abort)), None)
                for action in actions:
                    if isinstance(action, plan.Submit):
                        executor.submit(action.ticket, number, action.items, action.slot)
                    elif isinstance(action, plan.Cancel):
                        executor.cancel(action.ticket)
                    elif isinstance(action, plan.GiveUp):
                        held.append(self._given_up(method, action))
                self._crew.next_ticket = state.next_ticket
                # Slots have their next slices before the disk is waited for, and one wait serves many parts.
                if held and (abort or state.complete or time.monotonic() >= write_at):
                    parts, held = held, []
                    self._journal_parts(number, method, digest, parts, hopeless, ending)
                    write_at = time.monotonic() + self._write_seconds
                if abort:
                    raise NoAnswer(abort.reason) if abort.users_fault else Stopped(abort.reason)
                if state.complete:
                    return
                events = []
                if ending.items < needed:
                    needed = ending.items
                    events.append(plan.Cut(needed))
                if stopping is None:
                    try:
                        self._heed()
                    except Stopped as error:
                        stopping, drained_at = error, time.monotonic() + self._drain_seconds
                        events.append(plan.Drain())
                if stopping and (time.monotonic() >= drained_at or not any(state.flying())):
                    raise stopping
                patience = min(WAIT_SECONDS, max(0.0, write_at - time.monotonic())) if held else WAIT_SECONDS
                told = executor.wait(0.0 if len(actions) == plan.AT_ONCE else patience)
                for line in executor.news():
                    self._watch.say(line)
                outcomes = list({o.ticket: o for o in told if state.holder(o) is not None}.values())
                held += [outcome for outcome in outcomes if isinstance(outcome, Done)]
                events += outcomes
                if larger := self._larger(state):
                    back = {outcome.ticket for outcome in outcomes}
                    events += [
                        Failed(submit.ticket, "lost", "another executor took over")
                        for submit in state.flying()
                        if submit.ticket not in back
                    ]
                    executor = larger
                    executor.stage(number, method)
                    self._limit(executor)
                if executor.slots:
                    alone_since, told_alone = time.monotonic(), False
                elif time.monotonic() - alone_since > self._wait_seconds:
                    raise Stopped(f"no workers for {self._wait_seconds:g} s")
                elif not told_alone and time.monotonic() - alone_since > PATIENCE_SECONDS:
                    told_alone = True
                    self._watch.say(f"waiting for workers: there are none; for up to {self._wait_seconds:g} s")
        except BaseException as error:
            for submit in state.flying():
                executor.cancel(submit.ticket)  # whoever goes on with this executor does not wait for them
            if held and isinstance(error, Stopped | KeyboardInterrupt):
                self._journal_parts(number, method, digest, held, hopeless, ending)
            raise

    def _limit(self, executor: Executor) -> None:
        if not executor.limit(self._timeout_seconds) and not self._unlimited:
            self._unlimited = True
            self._watch.say("timeout_seconds cannot be kept in this process; --executor ray can")

    def _given_up(self, method: Method, action: plan.GiveUp) -> Done:
        """An item that kills its workers, as a part."""
        if action.kind == TIMEOUT:
            text = f"it took longer than timeout_seconds = {self._timeout_seconds:g} allows"
            record = Record(action.item, "TimeoutError", text, "")
        else:
            text = f"{plan.DEATHS_OF_AN_ITEM} workers died, each evaluating it alone; the last one: {action.reason}"
            record = Record(action.item, "WorkerDied", text, "")
        self._watch.say(f"{method.points.title(action.item)}: {text}")
        part = method.lost(range(action.item, action.item + 1), [(action.kind, record)])
        return Done(-1, part, 0.0, "")

    def _larger(self, state: plan.State) -> Executor | None:
        """Another executor, if it is time to ask: a slice took long enough to tell, and items are left to hand out."""
        pace, left = state.pace, state.seconds_left
        if pace is None or left is None or not (self._crew.may_grow and state.waiting and not state.draining):
            return None
        if state.largest * pace < WAIT_SECONDS:
            return None
        try:
            return self._crew.larger(left)
        except InputError as error:
            self._watch.say(f"going on in this process: {error}")
            return None

    def _journal_parts(
        self,
        number: int,
        method: Method,
        digest: bytes,
        done: Sequence[Done],
        hopeless: Hopeless,
        ending: Ending,
    ) -> None:
        for outcome in done:
            self._pass_on(outcome.said)
            self._crew.see(outcome)
        now = time.time_ns() // 1_000_000
        different = self._write(number, digest, [(d.part, d.seconds) for d in done], now)
        for items in different:
            self._watch.say(f"items {items.start} to {items.stop - 1} gave other losses than before: not deterministic")
        self.evaluated[method.kind] = self.evaluated.get(method.kind, 0) + sum(len(d.part.items) for d in done)
        self._watch.parts([(d.part, now) for d in done], new=True)
        for outcome in done:
            hopeless.see(outcome.part.items, outcome.part.failures)
            ending.see(outcome.part)
            if self._block > 1 and outcome.seconds and len(self._block_seconds) < BLOCKS_TIMED:
                self._time_block(outcome)

    def _write(self, number: int, digest: bytes, parts: Sequence[tuple[Part, float]], now: int) -> list[range]:
        """Write parts; where the disk has no room, wait for it: workers go on, and what they return is kept here.

        Raises:
            Stopped: if it cannot be written for a minute, or someone asked to stop.
        """
        until: float | None = None
        while True:
            try:
                return self._journal.write(number, digest, parts, now)
            except Unwritable as error:
                if until is None:
                    until = time.monotonic() + self._pause_seconds
                    self._watch.say(f"{error}; trying again for {self._pause_seconds:.0f} s")
                if time.monotonic() > until:
                    raise
                self._heed()
                time.sleep(min(1.0, self._pause_seconds / 10))

    def _pass_on(self, said: str) -> None:
        """What the loss printed on a worker, up to a limit."""
        lines = said.rstrip().splitlines() if said else []
        if not lines or not self._lines_left:
            return
        self._watch.say("\n".join(lines[: self._lines_left]))
        self._lines_left = max(0, self._lines_left - len(lines))
        if not self._lines_left:
            self._watch.say(f"(the loss prints more than {LINES_SHOWN} lines; the rest is not shown)")

    def _time_block(self, outcome: Done) -> None:
        """Tell once if even the fastest of the first blocks takes long."""
        self._block_seconds.append(outcome.seconds / -(-len(outcome.part.items) // self._block))
        fastest = min(self._block_seconds)
        if len(self._block_seconds) == BLOCKS_TIMED and fastest > SLOW_BLOCK_SECONDS:
            self._watch.say(
                f"a block of {self._block} candidates takes {fastest:.1f} s; a smaller [objective] block would spread "
                "better over workers"
            )


class Hopeless:
    """Ends a stage whose first items, without which there is no answer, all failed."""

    def __init__(self, method: Method) -> None:
        self._first = range(method.vital if method.items > method.vital else 0)
        self._points = method.points
        self._failed = 0
        self._failures = Failures()

    def see(self, items: range, failures: Failures) -> None:
        """Count a part.

        Raises:
            NoAnswer: once every one of the first items is known to have failed.
        """
        if not self._first or items.start >= self._first.stop:
            return
        within = range(items.start, min(items.stop, self._first.stop))
        if not failures.cover(within):
            self._first = range(0)
            return
        self._failed += len(within)
        if items.start == 0:
            self._failures = failures
        if self._failed == len(self._first):
            every = f"the first {self._failed} items all failed" if self._failed > 1 else "the first item failed"
            raise NoAnswer(every, self._failures, self._points)
