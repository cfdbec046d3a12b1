"""The events that a plan takes in, and the actions that it asks for."""

from __future__ import annotations

from dataclasses import dataclass

from optitrip.core.executor import Done, Failed


@dataclass(frozen=True)
class Slots:
    """Which slots there are now."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Cut:
    """Items from this one on are not needed."""

    stop: int


@dataclass(frozen=True)
class Drain:
    """Hand out no more."""


@dataclass(frozen=True)
class Tick:
    """How late it is, in seconds since any moment."""

    now: float


@dataclass(frozen=True)
class ExecutorReplaced:
    """Another executor takes over; what was in flight at the one before is lost, and so are its slots."""


@dataclass(frozen=True)
class Remark:
    """Something for the story alone, e.g. that the executor left out a node."""

    what: str
    text: str


Event = Done | Failed | Slots | Cut | Drain | Tick | ExecutorReplaced | Remark


@dataclass(frozen=True)
class Submit:
    """Hand out a slice to a slot."""

    ticket: int
    items: range
    slot: str
    copy_of: int | None = None
    """The ticket of a slice that takes too long; this one is the same."""


@dataclass(frozen=True)
class Abort:
    """The stage cannot go on."""

    reason: str
    users_fault: bool


@dataclass(frozen=True)
class RecordFailed:
    """An item cannot be evaluated; it is to be recorded as failed."""

    item: int
    kind: str
    reason: str


@dataclass(frozen=True)
class Cancel:
    """A slice is not needed any more."""

    ticket: int


Action = Submit | Abort | RecordFailed | Cancel
