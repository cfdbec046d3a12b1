"""The only loop: sends slices to the executor and parts to the sink until nothing is missing."""

from collections.abc import Collection, Generator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext

from optitrip.core.executor import Done, Executor
from optitrip.core.failures import TIMEOUT, Record
from optitrip.core.notice import Notice, info, warning
from optitrip.core.observer import Running
from optitrip.driver.guards import Cancellation, LossOutput, NoWorkers, ProcessChanges, SlowBlocks
from optitrip.driver.settings import Services
from optitrip.driver.sink import Sink
from optitrip.driver.stage import Stage
from optitrip.errors import NoAnswer, OptitripError, Stopped
from optitrip.scheduler import events, plan
from optitrip.scheduler.state import State
from optitrip.scheduler.story import Note, Story, lines

STORY_SHOWN = 20
"""Number of story entries shown with an unexpected error."""


class Loop:
    """Evaluates the missing items of stages, in blocks of `block` items unless the method sets its own size."""

    def __init__(self, services: Services, block: int) -> None:
        self._services, self._executors, self._observer = services, services.executors, services.observer
        self._settings, self._clock, self._block = services.settings, services.clock, block
        self._output, self._slow_blocks = LossOutput(services.observer), SlowBlocks(services.observer, block)
        self._process_changes = ProcessChanges(services.observer)
        self._reported: set[str] = set()
        self._held: list[Done] = []
        self._due = 0.0
        """Time from which on parts are written to the disk."""
        self._paces: dict[str, float] = {}
        """Seconds per item in the last stage of each kind."""
        self.item_seconds = 0.0
        """Mean seconds per item of a slot, as far as is known."""

    def evaluate(
        self,
        stage: Stage,
        sink: Sink,
        gaps: Sequence[range],
        whole_slices: Sequence[range] = (),
        avoid: Collection[str] = (),
    ) -> None:
        """Evaluate ranges of a stage, those in `whole_slices` as one slice each; skip items past an early end. Return
        without having evaluated all if every slot is on a node to `avoid`.

        Raise NoAnswer if the objective cannot be set up in a worker or the required prefix fails; raise Stopped after a
        request to stop, without workers, or if the sink cannot write parts.
        """
        with self._services.phases.time("ray") if self._executors.awaits_workers else nullcontext():
            executor = self._executors.executor(self._services.raise_if_stopped)
        self._prepare(executor, stage)
        block = stage.method.block or self._block
        kind = stage.method.kind
        expected = self._paces.get(kind) if stage.method.joins else None
        state = plan.begin(gaps, block, self._executors.next_ticket, whole_slices, self._settings, expected)
        happened: list[events.Event] = []
        needed, self._held = stage.needed, list[Done]()
        cancellation, no_workers = Cancellation(self._services), NoWorkers(self._services)
        try:
            while True:
                slots = without(executor, avoid)
                if avoid and not slots:
                    return
                now = events.Tick(self._clock.monotonic())
                state, actions = plan.step(state, [*happened, events.Slots(slots), now])
                self._executors.next_ticket = state.next_ticket
                self._perform(actions, executor, stage)
                if state.complete or (self._held and self._clock.monotonic() >= self._due):
                    self._flush(sink, state.story, last=state.complete)
                self.item_seconds = state.pace or self.item_seconds
                if state.complete:
                    self._paces[kind] = state.pace or self._paces.get(kind, 0.0)
                    return
                happened = [events.Cut(stage.needed)] if stage.needed < needed else []
                needed = stage.needed
                happened += cancellation.check(state)
                self._observer.running(running(state))
                happened += self._outcomes(executor, state, wait=len(actions) < plan.SUBMITS_PER_STEP)
                if workers := self._replacement(state):
                    executor = workers
                    self._prepare(executor, stage)
                    happened.append(events.ExecutorReplaced())
                no_workers.check(executor.slots)
        except BaseException as error:
            for submit in state.in_flight():
                executor.cancel(submit.ticket)  # so that the next user of this executor need not wait for them
            if isinstance(error, Stopped | NoAnswer) or not isinstance(error, Exception):
                self._flush(sink, state.story, last=True)
            elif not isinstance(error, OptitripError):  # a bug in optitrip: show what led to it
                error.add_note("\n".join(lines(entry.to_json() for entry in state.story.entries[-STORY_SHOWN:])))
            raise

    def _flush(self, sink: Sink, story: Story, *, last: bool) -> None:
        """Give parts to the sink, many at a time and after slots got new slices: waiting for the disk is slow."""
        held, self._held = self._held, []
        sink(held, story, last)
        self._due = self._clock.monotonic() + self._settings.write_seconds

    def _prepare(self, executor: Executor, stage: Stage) -> None:
        executor.stage(stage.number, stage.method)
        if not executor.set_time_limit(self._settings.item_seconds):
            text = "timeout_seconds has no effect: this process cannot end a running item; --executor ray enforces it"
            self._report_once(warning("no-time-limit", text))

    def _report_once(self, notice: Notice) -> None:
        if notice.code not in self._reported:
            self._reported.add(notice.code)
            self._observer.notice(notice)

    def _replacement(self, state: State) -> Executor | None:
        """Return workers to take over from this process, once they are ready and if slices remain to be handed out."""
        if not state.waiting or state.draining:
            return None
        # Start workers if much time is left; the estimate needs one slice of some length.
        pace = state.pace or 0.0
        if self._executors.may_start and pace and state.largest * pace >= self._settings.poll_seconds:
            if state.left * pace >= self._settings.ray_threshold_seconds:
                self._executors.start_workers()
            else:
                text = f"evaluating in this process: about {state.left * pace:.0f} s are left, not worth starting Ray"
                self._report_once(info("executor", f"{text} (--executor ray starts it anyway)"))
        try:
            return self._executors.replacement()
        except Exception as error:  # Ray may raise anything, and the sweep can continue without it
            text = f"workers cannot take over: {error}; continuing in this process (--executor serial avoids this)"
            self._observer.notice(warning("ray-failed", text))
            return None

    def _perform(self, actions: Sequence[events.Action], executor: Executor, stage: Stage) -> None:
        for action in actions:
            match action:
                case events.Submit():
                    executor.submit(action.ticket, stage.number, action.items, action.slot)
                    if action.copy_of is not None:
                        self._report_straggler(action.items)
                case events.Cancel():
                    executor.cancel(action.ticket)
                case events.RecordFailed():
                    self._held.append(self._failed(stage, action))
                case events.Abort():
                    raise NoAnswer(action.reason)

    def _report_straggler(self, items: range) -> None:
        which = f"items {items.start} to {items.stop - 1} are" if len(items) > 1 else f"item {items.start} is"
        text = f"{which} taking much longer than expected; started a backup copy on another worker (first result wins)"
        text += ". To end items that never finish, set [failures] timeout_seconds"
        self._observer.notice(info("late-slice", text))

    def _outcomes(self, executor: Executor, state: State, *, wait: bool) -> list[events.Event]:
        """Return the outcomes of slices in flight, each once, and a note for each warning; hold the parts."""
        patience = self._settings.poll_seconds if wait else 0.0
        if self._held:
            patience = min(patience, max(0.0, self._due - self._clock.monotonic()))
        with self._watched(state):
            received = executor.wait(patience)
        notes: list[events.Event] = []
        for notice in executor.notices():
            self._observer.notice(notice)
            notes += [Note(notice.code, why=notice.text)] if notice.level == "warning" else []
        outcomes = {outcome.ticket: outcome for outcome in received if state.find(outcome) is not None}.values()
        done = [outcome for outcome in outcomes if isinstance(outcome, Done)]
        self._held += done
        for outcome in done:
            if outcome.memory is not None:
                self._executors.memory = max(outcome.memory, self._executors.memory or 0)
            self._output.show(outcome)
            self._slow_blocks.check(outcome)
            self._process_changes.check(outcome)
        return [*outcomes, *notes]

    @contextmanager
    def _watched(self, state: State) -> Generator[None]:
        """While the loss runs in this process, have it ended after a request to stop, and workers started if it takes
        long: until it returns, nothing else happens here."""
        with ExitStack() as stack:
            if self._executors.evaluates_here and any(state.in_flight()):
                if self._services.overrun is not None:
                    stack.enter_context(self._services.overrun.watching())
                if state.waiting and not state.draining:
                    stack.enter_context(self._executors.workers_after(self._settings.ray_threshold_seconds))
            yield

    def _failed(self, stage: Stage, action: events.RecordFailed) -> Done:
        """Return the part of an item that no worker could evaluate."""
        if action.kind == TIMEOUT:
            text = f"it took longer than timeout_seconds = {self._settings.item_seconds:g}"
            record = Record(action.item, "TimeoutError", text, "")
        else:
            several = f"{self._settings.deaths} workers died, each evaluating it alone; the last one: {action.reason}"
            text = several if self._settings.deaths > 1 else f"its worker died once more: {action.reason}"
            record = Record(action.item, "WorkerDied", text, "")
        text = f"{stage.method.title(action.item, None)}: {text}. Recorded as failed; --retry-failed retries it"
        self._observer.notice(warning("item-failed", text))
        part = stage.method.failed_part(range(action.item, action.item + 1), [(action.kind, record)])
        return Done(-1, part, 0.0, "")


def running(state: State) -> list[Running]:
    """Return what is being evaluated: the first slice of each slot."""
    return [Running(slot.queue[0].items, slot.since) for slot in state.slots.values() if slot.queue]


def without(executor: Executor, nodes: Collection[str]) -> tuple[str, ...]:
    """Return the slots of an executor that are not on some nodes."""
    if not nodes:
        return executor.slots
    return tuple(slot for slot in executor.slots if executor.nodes.get(slot) not in nodes)
