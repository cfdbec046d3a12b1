"""Typed facts about a sweep, which the journal stores beside the parts.

Each class states its key in the journal and, by its fields, its form as JSON. Journals of older runs hold both, so
neither may change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Self, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class SweepFact:
    """A fact of which a journal has at most one: a table of its fields, the value of its only field, or true."""

    KEY: ClassVar[str]

    @property
    def key(self) -> str:
        """The key in the journal."""
        return self.KEY

    def to_json(self) -> Any:
        """Return the fact as it is stored."""
        values = {name: getattr(self, name) for name in field_types(type(self))}
        table = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
        return table if len(table) > 1 else next(iter(table.values()), True)

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Make the fact from what is stored; raise ValueError if that is not of this fact's form."""
        types = field_types(cls)
        if not types and value is not True:
            raise ValueError(f"wanted true, found {value!r}")
        table = typed(value, dict) if len(types) > 1 else dict.fromkeys(types, value)
        if missing := [name for name in types if name not in table]:
            raise ValueError(f"it has no {', no '.join(missing)}")
        return cls(*(typed(table[name], kind) for name, kind in types.items()))


@cache
def field_types(fact: type[SweepFact]) -> dict[str, Any]:
    hints = get_type_hints(fact)
    return {field.name: hints[field.name] for field in fields(fact)}


def typed(value: Any, kind: Any) -> Any:
    """Return a JSON value as a value of exactly this type, else raise ValueError: to JSON, true is not a number."""
    origin, arguments = get_origin(kind) or kind, get_args(kind)
    if origin is UnionType:  # a type or None
        return None if value is None else typed(value, arguments[0])
    if origin is tuple:
        return tuple(typed(entry, arguments[0]) for entry in typed(value, list))
    if origin is Path:
        return Path(typed(value, str))
    wanted = dict if origin is Mapping else origin
    if type(value) is not wanted:
        raise ValueError(f"wanted {wanted.__name__}, found {value!r:.60}")
    return value


@dataclass(frozen=True)
class Epoch(SweepFact):
    """Number of commands that have opened the journal to write; only the latest of them may write."""

    KEY = "epoch"
    number: int


@dataclass(frozen=True)
class JournalName(SweepFact):
    """A random name that the journal is given once."""

    KEY = "journal"
    name: str


@dataclass(frozen=True)
class Created(SweepFact):
    """Time when the journal was created."""

    KEY = "created"
    time: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class Owner(SweepFact):
    """The sweep to which the journal belongs."""

    KEY = "sweep"
    identity: str


@dataclass(frozen=True)
class Origin(SweepFact):
    """Place where the sweep was described: with the sweep file in the state directory it restores the sweep."""

    KEY = "origin"
    name: str
    folder: Path
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Provenance(SweepFact):
    """Code, data and libraries that the parts depend on; compared when the sweep is resumed or merged."""

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


@dataclass(frozen=True)
class Accepted(SweepFact):
    """Time when the user last accepted that code, data or libraries had changed; older parts are not checked again."""

    KEY = "accepted"
    since: int
    """Milliseconds since 1970."""


@dataclass(frozen=True)
class EvaluatingHere(SweepFact):
    """Mark of evaluation in the driver's own process; if a new command finds it, the last one crashed."""

    KEY = "here"


@dataclass(frozen=True)
class RecordedRun(SweepFact):
    """The MLflow run that recorded this sweep last."""

    KEY = "mlflow"
    tracking_uri: str
    experiment: str
    run_id: str


@dataclass(frozen=True)
class Delivered(SweepFact):
    """Mark that MLflow has all of the finished sweep with this number of items, in this experiment of this store."""

    KEY = "delivered"
    items: int
    uri: str
    experiment: str


@dataclass(frozen=True)
class StoredStory(SweepFact):
    """Decisions of the scheduler in the last run, with reasons, by stage: tables of `scheduler.story`."""

    KEY = "story"
    chapters: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class StageStarted:
    """A stage that was started, for those who read the journal without knowing the route."""

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
        """Make the stage with this number from what is stored; raise ValueError if that is not of its form."""
        digest, kind, items = typed(value, list)
        return cls(number, bytes.fromhex(typed(digest, str)), typed(kind, str), typed(items, int))


Fact = SweepFact | StageStarted
"""Something that the journal stores under a key."""
