"""Typed facts about a sweep, which the journal stores beside the parts.

Each class defines its key in the journal and, with its fields, its JSON. Existing journals contain both, so neither may
change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Self, dataclass_transform, get_args, get_origin, get_type_hints


@dataclass_transform(frozen_default=True)
class SweepFact:
    """A frozen dataclass; a journal holds at most one per class, as JSON: fields, its only field's value, or true."""

    key: ClassVar[str]
    """Key in the journal."""

    def __init_subclass__(cls, key: str) -> None:
        cls.key = key
        dataclass(frozen=True)(cls)

    def to_json(self) -> Any:
        table = {name: str(value) if isinstance(value, Path) else value for name, value in vars(self).items()}
        return table if len(table) > 1 else next(iter(table.values()), True)

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Make the fact from its JSON; raise ValueError if the JSON does not have this fact's form."""
        types = field_types(cls)
        if not types and value is not True:
            raise ValueError(f"wanted true, found {value!r}")
        table = typed(value, dict) if len(types) > 1 else dict.fromkeys(types, value)
        if missing := [name for name in types if name not in table]:
            raise ValueError(f"it has no {', no '.join(missing)}")
        return cls(*(typed(table[name], kind) for name, kind in types.items()))


@cache
def field_types(fact: type[SweepFact]) -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(fact).items() if name != "key"}


def typed(value: Any, kind: Any) -> Any:
    """Convert a JSON value to this type, or raise ValueError; the check is exact, since bool is a subclass of int."""
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


class Epoch(SweepFact, key="epoch"):
    """Number of commands that have opened the journal to write; only the latest of them may write."""

    number: int


class JournalName(SweepFact, key="journal"):
    """Random name that the journal gets when it is created."""

    name: str


class Created(SweepFact, key="created"):
    """Time when the journal was created, in seconds since 1970."""

    time: float


class Owner(SweepFact, key="sweep"):
    """Sweep to which the journal belongs."""

    identity: str


class Origin(SweepFact, key="origin"):
    """Origin of the sweep; with the sweep file stored in the state directory it restores the sweep."""

    name: str
    folder: Path
    overrides: tuple[str, ...]


class Provenance(SweepFact, key="provenance"):
    """Code, data and libraries that the parts depend on; compared when the sweep is resumed or merged."""

    block: int
    data: str | None
    """Digest of the objective's data, if it has one."""
    modules: Mapping[str, str]
    """Hashes of the user's imported modules, by name."""
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    witness: str | None
    """Hash of a few sampled candidates; None if the space has no distributions to sample."""


class SweepText(SweepFact, key="file"):
    """Text of the sweep file when the sweep was last run."""

    text: str


class Predecessor(SweepFact, key="predecessor"):
    """Latest sweep of the same name when this one was new, and how this one differs from it."""

    label: str
    """Name of its state directory, beside this one's."""
    changes: tuple[str, ...]
    """Changes of the identity, as lines like `seed: 0 -> 1`."""


class StoredResult(SweepFact, key="result"):
    """Outcome of the finished sweep, as in its result file, and the files of its answer that belong to it."""

    outcome: Mapping[str, Any]
    files: Mapping[str, Any]
    """Digests by file name, as of `runtime.files.digest`; null for a picture that could not be drawn."""


class Accepted(SweepFact, key="accepted"):
    """Time when the user last accepted changes of code, data or libraries; older parts are not checked again."""

    since: int
    """Milliseconds since 1970."""


class EvaluatingHere(SweepFact, key="here"):
    """Mark that items are being evaluated in the driver's process; found by a new command if the last one crashed."""


class RunningNow(SweepFact, key="running"):
    """Slices that take more than a moment, as they were evaluated when this was written; what a killed command leaves
    counts for nothing."""

    slices: list[list[int]]
    """First item, the one after the last, and the time at which each began, in milliseconds since 1970."""


class Commands(SweepFact, key="commands"):
    """Time that the commands of this sweep took, and how the last one ended, those that only showed a stored result
    apart."""

    started: int
    """Start of the first command, in milliseconds since 1970."""
    began: int | None
    """Start of the command that is running or was killed; None if the last one has ended."""
    seconds: float
    """Seconds of all commands before, each until its answer; of one that was killed, until its last write."""
    state: str
    """State of the last command: running, also if it was killed, or as it ended."""


class OpenRun(SweepFact, key="open run"):
    """Mark that an MLflow run is not complete; found by a later command if this one is killed, or MLflow was down."""

    uri: str
    """Location of the store, without a password."""
    experiment: str
    ended: bool
    """True if the command has ended the sweep, so that `Outbox` holds what the run lacks."""


class Outbox(SweepFact, key="outbox"):
    """All that the MLflow run of this sweep holds, as of the end of the last command; it can be sent any time later."""

    items: int
    state: str
    name: str
    start: int
    """Start of the first command, in milliseconds since 1970."""
    end: int
    """Time of the answer, in milliseconds since 1970."""
    params: Mapping[str, Any]
    tags: Mapping[str, Any]
    metrics: tuple[list[Any], ...]
    """Key, value, step, and time in milliseconds since 1970 of each."""
    files: tuple[str, ...]
    """Names of the artifacts."""
    children: tuple[dict[str, Any], ...]
    """Candidates that get a run of their own, the best first."""
    renewed: bool
    """True if an earlier run of this sweep has numbers that this one lacks; MLflow cannot withdraw them."""


class RecordedRun(SweepFact, key="mlflow"):
    """Latest MLflow run that recorded this sweep."""

    tracking_uri: str
    """Location of the store, without a password."""
    experiment: str
    run_id: str


class StoredStory(SweepFact, key="story"):
    """Decisions of the scheduler in the last run and their reasons, by stage, as tables of `scheduler.story`."""

    chapters: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class StageStarted:
    """A stage that was started, recorded for commands that read the journal without knowing the route."""

    number: int
    digest: bytes
    """Digest of its method, under which its parts are stored."""
    kind: str
    items: int
    before: int = 0
    """Number of the sweep's items that were done before the stage."""

    @property
    def key(self) -> str:
        return f"stage {self.number}"

    def to_json(self) -> list[Any]:
        return [self.digest.hex(), self.kind, self.items, *([self.before] if self.before else [])]

    @classmethod
    def from_json(cls, number: int, value: Any) -> Self:
        digest, kind, items, *before = typed(value, list)
        before = typed(before[0], int) if len(before) == 1 else 0
        return cls(number, bytes.fromhex(typed(digest, str)), typed(kind, str), typed(items, int), before)


Fact = SweepFact | StageStarted
