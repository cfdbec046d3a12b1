"""Typed facts about a sweep, which the journal stores beside the parts.

Each class states its key in the journal and its form as JSON. Journals of older runs hold both, so neither may change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from optitrip.journal.fact_base import Fact, SweepFact, entries, optional, typed


@dataclass(frozen=True)
class Epoch(SweepFact):
    """How many commands have opened the journal to write; a command that is not the latest may not write."""

    KEY = "epoch"
    number: int

    def to_json(self) -> int:
        return self.number

    @classmethod
    def from_json(cls, value: Any) -> Self:
        return cls(typed(value, int))


@dataclass(frozen=True)
class JournalName(SweepFact):
    """A random name that the journal is given once."""

    KEY = "journal"
    name: str

    def to_json(self) -> str:
        return self.name

    @classmethod
    def from_json(cls, value: Any) -> Self:
        return cls(typed(value, str))


@dataclass(frozen=True)
class Created(SweepFact):
    """When the journal was created."""

    KEY = "created"
    time: float
    """Seconds since 1970."""

    def to_json(self) -> float:
        return self.time

    @classmethod
    def from_json(cls, value: Any) -> Self:
        return cls(typed(value, float))


@dataclass(frozen=True)
class Owner(SweepFact):
    """The sweep whose journal this is."""

    KEY = "sweep"
    identity: str

    def to_json(self) -> str:
        return self.identity

    @classmethod
    def from_json(cls, value: Any) -> Self:
        return cls(typed(value, str))


@dataclass(frozen=True)
class Origin(SweepFact):
    """Where the sweep was described: it can be restored from this and the sweep file in the state directory."""

    KEY = "origin"
    name: str
    folder: Path
    overrides: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "folder": str(self.folder), "overrides": list(self.overrides)}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        found = entries(value, cls)
        overrides = tuple(typed(override, str) for override in typed(found["overrides"], list))
        return cls(typed(found["name"], str), Path(typed(found["folder"], str)), overrides)


@dataclass(frozen=True)
class Provenance(SweepFact):
    """What the parts depend on beside the sweep file; compared when the sweep is resumed or merged."""

    KEY = "provenance"
    block: int
    data: str | None
    """Digest of the objective's data, if it has one."""
    modules: Mapping[str, str]
    """Hashes of the user's imported modules, by name."""
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    witness: str | None
    """Hash of a few drawn candidates; None if the space cannot be drawn from."""

    @classmethod
    def from_json(cls, value: Any) -> Self:
        found = entries(value, cls)
        return cls(
            typed(found["block"], int),
            optional(found["data"], str),
            typed(found["modules"], dict),
            typed(found["versions"], dict),
            typed(found["machine"], dict),
            optional(found["witness"], str),
        )


@dataclass(frozen=True)
class Accepted(SweepFact):
    """When the user last accepted that code, data or libraries had changed; older parts are not checked again."""

    KEY = "accepted"
    since: int
    """Milliseconds since 1970."""

    def to_json(self) -> int:
        return self.since

    @classmethod
    def from_json(cls, value: Any) -> Self:
        return cls(typed(value, int))


@dataclass(frozen=True)
class EvaluatingHere(SweepFact):
    """The loss is being evaluated in the driver's own process; if a new command finds this, the last one crashed."""

    KEY = "here"

    def to_json(self) -> bool:
        return True

    @classmethod
    def from_json(cls, value: Any) -> Self:
        if value is not True:
            raise ValueError(f"wanted true, found {value!r}")
        return cls()


@dataclass(frozen=True)
class RecordedRun(SweepFact):
    """The MLflow run that recorded this sweep last."""

    KEY = "mlflow"
    tracking_uri: str
    experiment: str
    run_id: str

    @classmethod
    def from_json(cls, value: Any) -> Self:
        found = entries(value, cls)
        return cls(*(typed(found[field.name], str) for field in fields(cls)))


@dataclass(frozen=True)
class Delivered(SweepFact):
    """MLflow has everything about the finished sweep of so many items, in this experiment of this store."""

    KEY = "delivered"
    items: int
    uri: str
    experiment: str

    @classmethod
    def from_json(cls, value: Any) -> Self:
        found = entries(value, cls)
        return cls(typed(found["items"], int), typed(found["uri"], str), typed(found["experiment"], str))


@dataclass(frozen=True)
class StoredStory(SweepFact):
    """What the scheduler decided in the last run and why, by stage: tables of `scheduler.story`."""

    KEY = "story"
    chapters: tuple[dict[str, Any], ...]

    def to_json(self) -> list[Any]:
        return list(self.chapters)

    @classmethod
    def from_json(cls, value: Any) -> Self:
        return cls(tuple(typed(chapter, dict) for chapter in typed(value, list)))


@dataclass(frozen=True)
class StageStarted(Fact):
    """A stage that was begun, for those who read the journal without knowing the route."""

    number: int
    digest: bytes
    """Digest of its method, under which its parts are stored."""
    kind: str
    items: int

    @staticmethod
    def key_of(number: int) -> str:
        """Return the key of the stage with this number."""
        return f"stage {number}"

    @property
    def key(self) -> str:
        return self.key_of(self.number)

    def to_json(self) -> list[Any]:
        return [self.digest.hex(), self.kind, self.items]

    @classmethod
    def from_json(cls, number: int, value: Any) -> Self:
        """Make the stage with this number from what is stored.

        Raises:
            ValueError: if that is not of this fact's form.
        """
        digest, kind, items = typed(value, list)
        return cls(number, bytes.fromhex(typed(digest, str)), typed(kind, str), typed(items, int))
