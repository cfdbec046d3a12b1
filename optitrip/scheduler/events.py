"""Events, the inputs of a plan, and actions, its outputs."""

from dataclasses import dataclass

from optitrip.core.executor import Done, Failed
from optitrip.scheduler.story import Note


@dataclass(frozen=True)
class Slots:
    """The slots that exist now."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Cut:
    """A request to skip all items from `stop` on."""

    stop: int


@dataclass(frozen=True)
class Drain:
    """A request to hand out no more slices."""


@dataclass(frozen=True)
class Tick:
    """The time of a monotonic clock in seconds."""

    now: float


@dataclass(frozen=True)
class ExecutorReplaced:
    """A change of executor: all slots of the previous one are gone, and their slices in flight are lost."""


Event = Done | Failed | Slots | Cut | Drain | Tick | ExecutorReplaced | Note
"""Input of `plan.step`. A note is only recorded in the story."""


@dataclass(frozen=True)
class Submit:
    """Give a slice to a slot."""

    ticket: int
    items: range
    slot: str
    copy_of: int | None = None
    """Ticket of the straggler of which this slice is a backup copy."""


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
