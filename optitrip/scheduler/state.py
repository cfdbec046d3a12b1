"""What a plan knows: slots, what they hold, and what is left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from optitrip.core.executor import Done, Failed
from optitrip.scheduler.events import Submit
from optitrip.scheduler.settings import DEFAULT, SchedulerSettings
from optitrip.scheduler.story import Note, Story

QUEUED_PER_SLOT = 2
BEGINNING = Story()


@dataclass(frozen=True)
class Slot:
    """What runs slices, one after the other."""

    queue: tuple[Submit, ...] = ()
    pace: float | None = None
    """Seconds an item takes on it."""
    largest: int = 0
    """Items of the largest slice that it has done."""
    gone: bool = False
    """No more slices go to it, but some are there of which nothing was heard."""
    since: float = 0.0
    """When it began with the first slice of its queue."""
    late: bool = False
    """That took so long that another slot has a copy of it; it gets nothing more."""

    @property
    def idle(self) -> bool:
        return not self.queue and not self.late

    def without(self, submit: Submit, now: float) -> Slot:
        """The same when it does not hold a slice any more."""
        queue = tuple(one for one in self.queue if one is not submit)
        since = now if self.queue[0] is submit else self.since
        return Slot(queue, self.pace, self.largest, self.gone, since, self.late)

    def with_more(self, submit: Submit, now: float) -> Slot:
        """The same with one more slice."""
        since = self.since if self.queue else now
        return Slot((*self.queue, submit), self.pace, self.largest, self.gone, since, self.late)

    def find(self, ticket: int) -> Submit | None:
        return next((submit for submit in self.queue if submit.ticket == ticket), None)


@dataclass
class State:
    """Where a stage stands. `step` changes a copy; it copies a few words a slot, never what depends on the items."""

    block: int
    next_ticket: int
    limit: float | None
    """Seconds an item may take."""
    todo: tuple[range, ...]
    """What was to be evaluated at first; disjoint and ascending. Handed out is what lies before `start` of `gap`."""
    left: int
    """Items that are not done."""
    waiting: int
    """Of these, not handed out."""
    settings: SchedulerSettings = DEFAULT
    gap: int = 0
    start: int = 0
    again: tuple[range, ...] = ()
    """Came back without a part, or halves of what did; handed out first, with their bounds unchanged."""
    deaths: Mapping[range, int] = field(default_factory=dict[range, int])
    """Of workers, by the range that they had begun."""
    names: tuple[str, ...] = ()
    """Of the slots that there are."""
    slots: dict[str, Slot] = field(default_factory=dict[str, Slot])
    """By name."""
    free: tuple[dict[str, None], ...] = field(default_factory=lambda: tuple({} for _ in range(QUEUED_PER_SLOT)))
    """Slots to be given another slice, by the length of their queue, in the order in which they came to it. One that
    does not accept a slice leaves, and comes back when its queue is another one or a slice is handed out again."""
    rate: float = 0.0
    """Items a second, of all slots there are of which the pace is known."""
    known: int = 0
    """How many these are."""
    largest: int = 0
    """Items of the largest slice that is done."""
    measured: float | None = None
    """Seconds an item took in the last slice that is done."""
    draining: bool = False
    now: float = 0.0
    looked: float = 0.0
    """When late slices were last looked for."""
    story: Story = BEGINNING
    """What happened up to the last step."""
    notes: list[Note] = field(default_factory=list[Note])
    """What happened in this step."""
    copies: Mapping[int, int] = field(default_factory=dict[int, int])
    """Of two tickets of one slice, the other one."""

    def note(
        self, what: str, submit: Submit | None = None, items: range = range(0), slot: str = "", why: str = ""
    ) -> None:
        """Note for the story what happened, to a slice or else to some items."""
        if submit is not None:
            self.notes.append(Note(what, submit.ticket, submit.items, submit.slot, why))
        else:
            self.notes.append(Note(what, -1, items, slot, why))

    @property
    def complete(self) -> bool:
        return not self.left

    @property
    def pace(self) -> float | None:
        """Seconds an item takes on a slot, as a mean."""
        return self.known / max(self.rate, 1e-12) if self.known else None

    @property
    def seconds_left(self) -> float | None:
        """On one slot."""
        return None if self.pace is None else self.left * self.pace

    def seconds_for(self, items: int) -> float:
        """How long all slots together take for so many items, those of unknown pace like the others."""
        return items * self.known / (max(self.rate, 1e-12) * max(1, len(self.names)))

    def flying(self) -> Iterator[Submit]:
        """What is handed out and not back."""
        return (submit for slot in self.slots.values() for submit in slot.queue)

    def holder(self, outcome: Done | Failed) -> str | None:
        """The slot that holds a slice; None if no slot does: the outcome is stale, or told twice."""
        said = self.slots.get(outcome.worker) if isinstance(outcome, Done) else None
        if said is not None and said.find(outcome.ticket):
            return said.queue[0].slot
        return next((name for name, slot in self.slots.items() if slot.find(outcome.ticket)), None)


def put(state: State, name: str, slot: Slot) -> None:
    """Keep what has become of a slot, and where it counts."""
    before, now = counted(state.slots.get(name)), counted(slot)
    if slot.gone and not slot.queue:
        state.slots.pop(name, None)
    else:
        state.slots[name] = slot
    if before != now:
        state.known += (now > 0) - (before > 0)
        state.rate += now - before
        if before > state.rate / 2:  # a small difference of large numbers
            state.rate = sum(map(counted, state.slots.values()))
    for length, level in enumerate(state.free):
        if length == len(slot.queue) and not slot.gone and not slot.late:
            level[name] = None
        else:
            level.pop(name, None)


def counted(slot: Slot | None) -> float:
    """What a slot adds to the rate."""
    return 1 / slot.pace if slot and slot.pace and not slot.gone else 0.0
