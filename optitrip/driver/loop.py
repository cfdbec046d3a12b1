"""The one loop: slices to the executor, parts to the sink, until nothing is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from optitrip.core.executor import Done, Executor
from optitrip.core.failures import TIMEOUT, Record
from optitrip.core.method import Method
from optitrip.core.notice import info, warning
from optitrip.core.observer import Observer
from optitrip.driver.growth import Growth
from optitrip.driver.guards import Cancellation, LossOutput, NoWorkers, SlowBlocks
from optitrip.driver.settings import Settings
from optitrip.driver.sink import Sink
from optitrip.driver.stage import Stage
from optitrip.errors import NoAnswer, OptitripError, Stopped
from optitrip.runtime.clock import Clock
from optitrip.runtime.stopwatch import Stopwatch
from optitrip.scheduler import plan, retries
from optitrip.scheduler.events import (
    Abort,
    Action,
    Cancel,
    Cut,
    Event,
    ExecutorReplaced,
    RecordFailed,
    Remark,
    Slots,
    Submit,
    Tick,
)
from optitrip.scheduler.state import State
from optitrip.scheduler.story import lines

if TYPE_CHECKING:
    from optitrip.executors.manager import ExecutorManager

STORY_SHOWN = 20
"""Entries of the story shown with an error that nobody expected."""


class Loop:
    """Evaluates what stages lack.

    Args:
        executors: that evaluate.
        block: of the objective.
        phases: in which waiting for workers is counted.
        observer: told of what happens to slices and workers.
        raise_if_stopped: called between slices; raises `Stopped` if someone asked to stop.
        settings: how long is waited, for what.
        clock: to wait by.
    """

    def __init__(
        self,
        executors: ExecutorManager,
        block: int,
        observer: Observer,
        phases: Stopwatch,
        raise_if_stopped: Callable[[], None],
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._executors, self._block, self._observer, self._phases = executors, block, observer, phases
        self._raise_if_stopped, self._settings, self._clock = raise_if_stopped, settings, clock
        self._growth = Growth(executors, observer, settings)
        self._output, self._slow_blocks = LossOutput(observer), SlowBlocks(observer, block)
        self._unlimited = False

    def evaluate(self, stage: Stage, sink: Sink, gaps: Sequence[range], uncut: Sequence[range] = ()) -> None:
        """Evaluate ranges of a stage; less of them, if it turns out to end before; `uncut` ones as one slice each.

        Raises:
            NoAnswer: because importing or preparing raised in a worker, or too much failed.
            Stopped: because someone asked to, there are no workers, or the sink cannot take parts.
        """
        executor, state = self._staged(self._executor(), stage), self._begin(stage, gaps, uncut)
        events: list[Event] = []
        needed = sink.needed
        cancellation = Cancellation(self._raise_if_stopped, self._settings, self._clock)
        no_workers = NoWorkers(self._observer, self._settings, self._clock)
        try:
            while True:
                now = Tick(self._clock.monotonic())
                state, actions = plan.step(state, [*events, Slots(executor.slots), now])
                self._executors.next_ticket = state.next_ticket
                abort = self._perform(actions, executor, stage, sink)
                if abort or state.complete or self._clock.monotonic() >= sink.due:
                    sink.flush(state.story, last=state.complete)
                if abort:
                    raise NoAnswer(abort.reason) if abort.users_fault else Stopped(abort.reason)
                if state.complete:
                    return
                events = [Cut(sink.needed)] if sink.needed < needed else []
                needed = sink.needed
                events += cancellation.look(state)
                events += self._outcomes(executor, state, sink, at_once=len(actions) == plan.AT_ONCE)
                if workers := self._growth.look(state):
                    executor = self._staged(workers, stage)
                    events.append(ExecutorReplaced())
                no_workers.look(executor.slots)
        except BaseException as error:
            for submit in state.flying():
                executor.cancel(submit.ticket)  # whoever goes on with this executor does not wait for them
            if isinstance(error, Stopped | NoAnswer | KeyboardInterrupt):
                sink.flush(state.story, last=True)
            elif not isinstance(error, OptitripError):  # a mistake of ours: its traceback shows what came before
                error.add_note("\n".join(lines(entry.to_json() for entry in state.story.entries[-STORY_SHOWN:])))
            raise

    def _begin(self, stage: Stage, gaps: Sequence[range], uncut: Sequence[range]) -> State:
        block, limit = stage.method.block or self._block, self._settings.item_seconds
        return plan.begin(gaps, block, self._executors.next_ticket, limit, uncut, self._settings.scheduler)

    def _executor(self) -> Executor:
        with self._phases.time("ray") if self._executors.awaits_workers else nullcontext():
            return self._executors.executor()

    def _staged(self, executor: Executor, stage: Stage) -> Executor:
        executor.stage(stage.number, stage.method)
        if not executor.set_time_limit(self._settings.item_seconds) and not self._unlimited:
            self._unlimited = True
            self._observer.notice(
                warning("no-time-limit", "timeout_seconds cannot be kept in this process; --executor ray can")
            )
        return executor

    def _perform(self, actions: Sequence[Action], executor: Executor, stage: Stage, sink: Sink) -> Abort | None:
        """Do what the plan asks for; what ends the stage is returned."""
        for action in actions:
            match action:
                case Submit():
                    executor.submit(action.ticket, stage.number, action.items, action.slot)
                    if action.copy_of is not None:
                        self._observer.notice(info("late-slice", late(action.items)))
                case Cancel():
                    executor.cancel(action.ticket)
                case RecordFailed():
                    sink.take([self._given_up(stage.method, action)])
                case Abort():
                    return action
        return None

    def _outcomes(self, executor: Executor, state: State, sink: Sink, *, at_once: bool) -> list[Event]:
        """Wait for outcomes, and return those of slices in flight, each once; parts go to the sink.

        Args:
            at_once: do not wait, since more slices are to be handed out.
        """
        patience = min(self._settings.poll_seconds, max(0.0, sink.due - self._clock.monotonic()))
        capture_output = executor.wait(0.0 if at_once else patience)
        remarks: list[Event] = []
        for notice in executor.notices():
            self._observer.notice(notice)
            remarks += [Remark(notice.code, notice.text)] if notice.level == "warning" else []
        outcomes = {outcome.ticket: outcome for outcome in capture_output if state.holder(outcome) is not None}.values()
        done = [outcome for outcome in outcomes if isinstance(outcome, Done)]
        sink.take(done)
        for outcome in done:
            self._executors.record_memory(outcome)
            self._output.see(outcome)
            self._slow_blocks.see(outcome)
        return [*outcomes, *remarks]

    def _given_up(self, method: Method, action: RecordFailed) -> Done:
        """Make the part of an item that no worker could evaluate."""
        if action.kind == TIMEOUT:
            text = f"it took longer than timeout_seconds = {self._settings.item_seconds:g} allows"
            record = Record(action.item, "TimeoutError", text, "")
        else:
            text = f"{retries.DEATHS_OF_AN_ITEM} workers died, each evaluating it alone; the last one: {action.reason}"
            record = Record(action.item, "WorkerDied", text, "")
        self._observer.notice(warning("quarantined-item", f"{method.title(action.item, None)}: {text}"))
        part = method.failed_part(range(action.item, action.item + 1), [(action.kind, record)])
        return Done(-1, part, 0.0, "")


def late(items: range) -> str:
    """Word the notice of a slice that takes long."""
    which = f"items {items.start} to {items.stop - 1} take" if len(items) > 1 else f"item {items.start} takes"
    return (
        f"{which} much longer than expected: another worker evaluates the same, and who is first counts. What never "
        "ends, [failures] timeout_seconds would end"
    )
