"""The state of a plan: slots, the slices in their queues, and the items left."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

from optitrip.core.executor import Done, Failed
from optitrip.scheduler.events import Submit
from optitrip.scheduler.story import Note, Story

QUEUED_PER_SLOT = 2


@dataclass(frozen=True)
class SchedulerSettings:
    """Settings that affect the speed of a sweep, never its answer, except that `item_seconds` makes slow items fail."""

    target_seconds: float = 1.0
    """Desired duration of a slice, in seconds."""
    one_block: bool = False
    """True for slices of one block, or of one item where the objective takes no batches."""
    check_seconds: float = 1.0
    """Seconds between two checks for stragglers."""
    straggler_seconds: float = 10.0
    """Seconds that any slice may take before it is a straggler."""
    straggler_factor: float = 3.0
    """Multiple of its expected duration that a slice may take before it is a straggler."""
    backups: bool | None = None
    """Whether a slice may be evaluated twice at a time; None if items take less than `backup_seconds`."""
    backup_seconds: float = 10.0
    """Seconds per item from which on nothing is evaluated twice, unless that is allowed."""
    deaths: int = 3
    """Number of worker deaths after which an item evaluated alone is recorded as failed; one less halves a range."""
    item_seconds: float | None = None
    """Time limit of a slice in seconds, where workers can be killed. A slice over it is halved, down to one item."""


DEFAULT = SchedulerSettings()


@dataclass(frozen=True)
class Slot:
    """A place in an executor that evaluates one slice after another."""

    queue: tuple[Submit, ...] = ()
    pace: float | None = None
    """Seconds per item here; None until a slice is done."""
    largest: int = 0
    """Number of items in the largest slice done here."""
    removed: bool = False
    """True if the slot no longer exists but has slices without an outcome."""
    since: float = 0.0
    """Start time of the first slice in the queue."""
    straggling: bool = False
    """True if a slice takes too long here; the slot gets no others until it returns an outcome."""

    @property
    def idle(self) -> bool:
        return not self.queue and not self.straggling

    @property
    def rate(self) -> float:
        """Items per second; 0 if the pace is unknown or the slot no longer exists."""
        return 1 / self.pace if self.pace and not self.removed else 0.0

    def without(self, submit: Submit, now: float) -> "Slot":
        queue = tuple(queued for queued in self.queue if queued is not submit)
        return replace(self, queue=queue, since=now if self.queue[0] is submit else self.since)


@dataclass
class State:
    """The progress of a stage. `step` changes a copy; the size depends on the number of slots, not of items."""

    block: int
    next_ticket: int
    todo: tuple[range, ...]
    """Gaps to evaluate, disjoint and ascending; all before `start` in gap number `gap` has been handed out."""
    left: int
    """Number of items that are not done."""
    waiting: int
    """Number of items that are not handed out."""
    settings: SchedulerSettings
    start: int
    requeued: tuple[range, ...]
    """Ranges of slices that returned no part, or their halves; handed out first, with their bounds unchanged."""
    gap: int = 0
    deaths: Mapping[range, int] = field(default_factory=dict[range, int])
    """Number of workers that died, by the range they were evaluating."""
    names: tuple[str, ...] = ()
    """Names of the slots that exist."""
    slots: dict[str, Slot] = field(default_factory=dict[str, Slot])
    """Slots by name, including removed ones that have slices without an outcome."""
    free: tuple[dict[str, None], ...] = field(default_factory=lambda: tuple({} for _ in range(QUEUED_PER_SLOT)))
    """Names of slots that may take another slice, by length of their queue. A slot that does not accept a slice is
    removed, and returns when its queue changes or a slice is requeued."""
    rate: float = 0.0
    """Items per second of all existing slots of known pace together."""
    known: int = 0
    """Number of existing slots of known pace."""
    largest: int = 0
    """Number of items in the largest slice done."""
    measured: float | None = None
    """Seconds per item in the slice done last."""
    expected: float | None = None
    """Seconds per item in stages alike before this one, for the first slices."""
    draining: bool = False
    now: float = 0.0
    checked: float = 0.0
    """Time of the last check for stragglers."""
    story: Story = field(default_factory=Story)
    """Events and decisions up to the last step."""
    notes: list[Note] = field(default_factory=list[Note])
    """Events and decisions of this step."""
    copies: Mapping[int, int] = field(default_factory=dict[int, int])
    """Maps the ticket of a straggler to that of its backup copy, and vice versa."""

    def note(self, what: str, submit: Submit | None = None, why: str = "") -> None:
        self.notes.append(Note(what, submit.ticket, submit.items, submit.slot, why) if submit else Note(what, why=why))

    @property
    def complete(self) -> bool:
        return not self.left

    @property
    def pace(self) -> float | None:
        """Mean seconds per item over the slots of known pace."""
        return self.known / max(self.rate, 1e-12) if self.known else None

    def seconds_for(self, items: int) -> float:
        """Estimate the time of all slots together for some items; slots of unknown pace count as average."""
        return items * self.known / (max(self.rate, 1e-12) * max(1, len(self.names)))

    def in_flight(self) -> Iterator[Submit]:
        return (submit for slot in self.slots.values() for submit in slot.queue)

    def find(self, outcome: Done | Failed) -> Submit | None:
        """Return the slice in flight with this outcome; None if the outcome is stale or a duplicate."""
        likely = self.slots.get(outcome.worker, Slot()).queue if isinstance(outcome, Done) else ()
        return next((submit for submit in chain(likely, self.in_flight()) if submit.ticket == outcome.ticket), None)

    def put(self, name: str, slot: Slot) -> None:
        """Replace a slot, and update the totals and candidates that depend on it."""
        before, now = self.slots.get(name, Slot()).rate, slot.rate
        if slot.removed and not slot.queue:
            self.slots.pop(name, None)
        else:
            self.slots[name] = slot
        if before != now:
            self.known += (now > 0) - (before > 0)
            self.rate += now - before
            if before > self.rate / 2:  # avoid the rounding error of subtracting nearly equal numbers
                self.rate = sum(slot.rate for slot in self.slots.values())
        for length, level in enumerate(self.free):
            if length == len(slot.queue) and not slot.removed and not slot.straggling:
                level[name] = None
            else:
                level.pop(name, None)

    def submit(self, items: range, name: str, copy_of: Submit | None = None) -> Submit:
        """Add a slice to the queue of a slot, under a new ticket."""
        submit = Submit(self.next_ticket, items, name, copy_of and copy_of.ticket)
        self.next_ticket += 1
        slot = self.slots[name]
        self.put(name, replace(slot, queue=(*slot.queue, submit), since=slot.since if slot.queue else self.now))
        return submit

    def requeue(self, *ranges: range) -> None:
        self.requeued += ranges
        self.waiting += sum(map(len, ranges))
