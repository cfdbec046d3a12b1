"""The one loop: slices to the executor, parts to the journal, until nothing is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from optitrip.core.executor import Done, Executor, Failed
from optitrip.core.method import Method
from optitrip.core.notice import info, warning
from optitrip.core.observer import Observer
from optitrip.driver.crew import Crew
from optitrip.driver.remarks import Remarks
from optitrip.driver.settings import Settings
from optitrip.driver.stage import Stage
from optitrip.errors import InputError, NoAnswer, Stopped
from optitrip.part import TIMEOUT, Record
from optitrip.runtime.clock import Clock
from optitrip.scheduler import plan, retries
from optitrip.scheduler.events import Abort, Cancel, Cut, Drain, Event, GiveUp, Slots, Submit, Tick


class Loop:
    """Evaluates what stages lack.

    Args:
        crew: that evaluates.
        block: of the objective.
        watch: is told of what is in the journal.
        heed: called between slices; raises `Stopped` if someone asked to stop.
        settings: how long is waited, for what.
        clock: to wait by.
    """

    def __init__(
        self,
        crew: Crew,
        block: int,
        watch: Observer,
        heed: Callable[[], None],
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._crew, self._block, self._watch, self._heed = crew, block, watch, heed
        self._settings, self._clock = settings, clock
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
        method, settings, clock = stage.method, self._settings, self._clock
        executor = self._staged(self._crew.executor(), stage)
        state = plan.begin(
            gaps, method.block or self._block, self._crew.next_ticket, settings.item_seconds, uncut, settings.scheduler
        )
        events: list[Event] = []
        held: list[Done] = []
        write_at = drained_at = 0.0
        stopping: Stopped | None = None
        needed = stage.ending.items
        alone = Alone(self._watch, settings, clock)
        try:
            while True:
                state, actions = plan.step(state, [*events, Slots(executor.slots), Tick(clock.monotonic())])
                abort = next((action for action in actions if isinstance(action, Abort)), None)
                for action in actions:
                    if isinstance(action, Submit):
                        executor.submit(action.ticket, stage.number, action.items, action.slot)
                        if action.copy_of is not None:
                            self._watch.notice(info("late-slice", late(action.items)))
                    elif isinstance(action, Cancel):
                        executor.cancel(action.ticket)
                    elif isinstance(action, GiveUp):
                        held.append(self._given_up(method, action))
                self._crew.next_ticket = state.next_ticket
                # Slots have their next slices before the disk is waited for, and one wait serves many parts.
                if held and (abort or state.complete or clock.monotonic() >= write_at):
                    parts, held = held, []
                    self._write(stage, parts, attempt)
                    write_at = clock.monotonic() + settings.write_seconds
                if abort:
                    raise NoAnswer(abort.reason) if abort.users_fault else Stopped(abort.reason)
                if state.complete:
                    return
                events = []
                if stage.ending.items < needed:
                    needed = stage.ending.items
                    events.append(Cut(needed))
                if stopping is None:
                    try:
                        self._heed()
                    except Stopped as error:
                        stopping, drained_at = error, clock.monotonic() + settings.drain_seconds
                        events.append(Drain())
                if stopping and (clock.monotonic() >= drained_at or not any(state.flying())):
                    raise stopping
                patience = (
                    min(settings.poll_seconds, max(0.0, write_at - clock.monotonic()))
                    if held
                    else settings.poll_seconds
                )
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
        if not executor.limit(self._settings.item_seconds) and not self._unlimited:
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
        items = stage.write(done, attempt, self._settings, self._heed)
        self.evaluated[kind] = self.evaluated.get(kind, 0) + items
        self.again += items if attempt else 0

    def _given_up(self, method: Method, action: GiveUp) -> Done:
        """An item that no worker could evaluate, as a part."""
        if action.kind == TIMEOUT:
            text = f"it took longer than timeout_seconds = {self._settings.item_seconds:g} allows"
            record = Record(action.item, "TimeoutError", text, "")
        else:
            text = f"{retries.DEATHS_OF_AN_ITEM} workers died, each evaluating it alone; the last one: {action.reason}"
            record = Record(action.item, "WorkerDied", text, "")
        self._watch.notice(warning("quarantined-item", f"{method.points.title(action.item)}: {text}"))
        part = method.lost(range(action.item, action.item + 1), [(action.kind, record)])
        return Done(-1, part, 0.0, "")

    def _larger(self, state: plan.State) -> Executor | None:
        """Another executor, if it is time to ask: a slice took long enough to tell, and items are left to hand out."""
        pace, left = state.pace, state.seconds_left
        if pace is None or left is None or not (self._crew.may_grow and state.waiting and not state.draining):
            return None
        if state.largest * pace < self._settings.poll_seconds:
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

    def __init__(self, watch: Observer, settings: Settings, clock: Clock) -> None:
        self._watch, self._settings, self._clock = watch, settings, clock
        self._since, self._told = clock.monotonic(), False

    def look(self, executor: Executor) -> None:
        """Go on if there are some, or there may be soon.

        Raises:
            Stopped: if there have been none for too long.
        """
        if executor.slots:
            self._since, self._told = self._clock.monotonic(), False
            return
        seconds, limit = self._clock.monotonic() - self._since, self._settings.wait_seconds
        if seconds > limit:
            raise Stopped(f"no workers for {limit:g} s")
        if seconds > self._settings.patience_seconds and not self._told:
            self._told = True
            self._watch.notice(warning("no-workers", f"waiting for workers: there are none; for up to {limit:g} s"))
