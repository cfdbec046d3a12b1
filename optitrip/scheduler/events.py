"""The events that a plan takes in, and the actions that it asks for."""

from __future__ import annotations

from dataclasses import dataclass

from optitrip.core.executor import Done, Failed
from optitrip.scheduler.story import Note


@dataclass(frozen=True)
class Slots:
    """The slots that exist now."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Cut:
    """A request to leave out all items from `stop` on."""

    stop: int


@dataclass(frozen=True)
class Drain:
    """A request to hand out no more slices."""


@dataclass(frozen=True)
class Tick:
    """The time in seconds, by a monotonic clock."""

    now: float


@dataclass(frozen=True)
class ExecutorReplaced:
    """A change of the executor: the slots of the previous one are gone, and the slices in flight there are lost."""


Event = Done | Failed | Slots | Cut | Drain | Tick | ExecutorReplaced | Note
"""A note is recorded in the story, and changes nothing else."""


@dataclass(frozen=True)
class Submit:
    """Give a slice to a slot."""

    ticket: int
    items: range
    slot: str
    copy_of: int | None = None
    """Ticket of the straggler that this slice is a backup copy of."""


@dataclass(frozen=True)
class Abort:
    """End the stage: the objective cannot be set up on a worker."""

    reason: str


@dataclass(frozen=True)
class RecordFailed:
    """Record an item as failed: no worker can evaluate it."""

    item: int
    kind: str
    reason: str


@dataclass(frozen=True)
class Cancel:
    """Drop a slice: its outcome is no longer needed."""

    ticket: int


Action = Submit | Abort | RecordFailed | Cancel
