"""The one loop: slices to the executor, parts to the journal, until nothing is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from optitrip.core.method import Method
from optitrip.core.notice import info, warning
from optitrip.core.observer import Observer
from optitrip.driver import plan
from optitrip.driver.crew import Crew
from optitrip.driver.limits import Limits
from optitrip.driver.remarks import Remarks
from optitrip.driver.stage import Stage
from optitrip.errors import InputError, NoAnswer, Stopped
from optitrip.executors import Done, Executor, Failed
from optitrip.part import TIMEOUT, Record

WAIT_SECONDS, PATIENCE_SECONDS = 0.2, 20.0


class Loop:
    """Evaluates what stages lack.

    Args:
        crew: that evaluates.
        block: of the objective.
        watch: is told of what is in the journal.
        heed: called between slices; raises `Stopped` if someone asked to stop.
        limits: how long is waited, for what.
    """

    def __init__(self, crew: Crew, block: int, watch: Observer, heed: Callable[[], None], limits: Limits) -> None:
        self._crew, self._block, self._watch, self._heed, self._limits = crew, block, watch, heed, limits
        self._remarks = Remarks(watch, block)
        self._unlimited = False
        self.evaluated: dict[str, int] = {}
        """Items evaluated, by kind of stage."""
        self.again = 0
        """Of these, items that had failed before."""

    def evaluate(self, stage: Stage, gaps: Sequence[range], attempt: int = 0, uncut: Sequence[range] = ()) -> None:
        """Evaluate ranges of a stage; less of them, if it turns out to end before; `uncut` ones as one slice each.

        Raises:
            NoAnswer: because importing or preparing raised in a worker, or too much failed.
            Stopped: because someone asked to, there are no workers, or the journal cannot be written.
        """
        method, limits = stage.method, self._limits
        executor = self._staged(self._crew.executor(), stage)
        state = plan.begin(gaps, method.block or self._block, self._crew.next_ticket, limits.item, uncut)
        events: list[plan.Event] = []
        held: list[Done] = []
        write_at = drained_at = 0.0
        stopping: Stopped | None = None
        needed = stage.ending.items
        alone = Alone(self._watch, limits.wait)
        try:
            while True:
                state, actions = plan.step(state, [*events, plan.Slots(executor.slots), plan.Tick(time.monotonic())])
                abort = next((action for action in actions if isinstance(action, plan.Abort)), None)
                for action in actions:
                    if isinstance(action, plan.Submit):
                        executor.submit(action.ticket, stage.number, action.items, action.slot)
                        if action.copy_of is not None:
                            self._watch.notice(info("late-slice", late(action.items)))
                    elif isinstance(action, plan.Cancel):
                        executor.cancel(action.ticket)
                    elif isinstance(action, plan.GiveUp):
                        held.append(self._given_up(method, action))
                self._crew.next_ticket = state.next_ticket
                # Slots have their next slices before the disk is waited for, and one wait serves many parts.
                if held and (abort or state.complete or time.monotonic() >= write_at):
                    parts, held = held, []
                    self._write(stage, parts, attempt)
                    write_at = time.monotonic() + limits.write
                if abort:
                    raise NoAnswer(abort.reason) if abort.users_fault else Stopped(abort.reason)
                if state.complete:
                    return
                events = []
                if stage.ending.items < needed:
                    needed = stage.ending.items
                    events.append(plan.Cut(needed))
                if stopping is None:
                    try:
                        self._heed()
                    except Stopped as error:
                        stopping, drained_at = error, time.monotonic() + limits.drain
                        events.append(plan.Drain())
                if stopping and (time.monotonic() >= drained_at or not any(state.flying())):
                    raise stopping
                patience = min(WAIT_SECONDS, max(0.0, write_at - time.monotonic())) if held else WAIT_SECONDS
                told = executor.wait(0.0 if len(actions) == plan.AT_ONCE else patience)
                for notice in executor.news():
                    self._watch.notice(notice)
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
                    executor = self._staged(larger, stage)
                alone.look(executor)
        except BaseException as error:
            for submit in state.flying():
                executor.cancel(submit.ticket)  # whoever goes on with this executor does not wait for them
            if held and isinstance(error, Stopped | KeyboardInterrupt):
                self._write(stage, held, attempt)
            raise

    def _staged(self, executor: Executor, stage: Stage) -> Executor:
        executor.stage(stage.number, stage.method)
        if not executor.limit(self._limits.item) and not self._unlimited:
            self._unlimited = True
            self._watch.notice(
                warning("no-time-limit", "timeout_seconds cannot be kept in this process; --executor ray can")
            )
        return executor

    def _write(self, stage: Stage, done: Sequence[Done], attempt: int) -> None:
        for outcome in done:
            self._crew.see(outcome)
            self._remarks.see(outcome)
        kind = stage.method.kind
        items = stage.write(done, attempt, self._limits, self._heed)
        self.evaluated[kind] = self.evaluated.get(kind, 0) + items
        self.again += items if attempt else 0

    def _given_up(self, method: Method, action: plan.GiveUp) -> Done:
        """An item that no worker could evaluate, as a part."""
        if action.kind == TIMEOUT:
            text = f"it took longer than timeout_seconds = {self._limits.item:g} allows"
            record = Record(action.item, "TimeoutError", text, "")
        else:
            text = f"{plan.DEATHS_OF_AN_ITEM} workers died, each evaluating it alone; the last one: {action.reason}"
            record = Record(action.item, "WorkerDied", text, "")
        self._watch.notice(warning("quarantined-item", f"{method.title(action.item, None)}: {text}"))
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
        except (InputError, Stopped) as error:
            self._watch.notice(warning("ray-failed", f"going on in this process: {error}"))
            return None


def late(items: range) -> str:
    which = f"items {items.start} to {items.stop - 1} take" if len(items) > 1 else f"item {items.start} takes"
    return (
        f"{which} much longer than expected: another worker evaluates the same, and who is first counts. What never "
        "ends, [failures] timeout_seconds would end"
    )


class Alone:
    """How long there have been no workers."""

    def __init__(self, watch: Observer, limit: float) -> None:
        self._watch, self._limit = watch, limit
        self._since, self._told = time.monotonic(), False

    def look(self, executor: Executor) -> None:
        """Go on if there are some, or there may be soon.

        Raises:
            Stopped: if there have been none for too long.
        """
        if executor.slots:
            self._since, self._told = time.monotonic(), False
            return
        seconds = time.monotonic() - self._since
        if seconds > self._limit:
            raise Stopped(f"no workers for {self._limit:g} s")
        if seconds > PATIENCE_SECONDS and not self._told:
            self._told = True
            self._watch.notice(
                warning("no-workers", f"waiting for workers: there are none; for up to {self._limit:g} s")
            )
