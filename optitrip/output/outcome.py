"""The outcome of a command: the same facts for the table, for `--json` and for MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from optitrip.core.notice import Notice
from optitrip.core.progress import Partial
from optitrip.output.answer import Answer
from optitrip.output.text import finite

Status = Literal["finished", "stopped", "failed", "shard"]
"""Status: finished; stopped and resumable, with the best so far; ended without an answer; one shard of it finished."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """A sweep's answer, and the time and memory it took."""

    name: str
    identity: str
    status: Status
    unit: str
    """Plural of what is counted, e.g. candidates."""
    items: int
    """Number of items that the answer covers."""
    evaluated: int
    """Number of these that this command evaluated; the others were in the journal."""
    seconds: float
    phases: Mapping[str, float]
    items_per_second: float | None
    state_dir: str | None
    answer: Answer | None = None
    best: Partial | None = None
    """Best so far of a sweep that was stopped."""
    no_answer: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Fields for `--json` in place of an answer."""
    failures: Mapping[str, int] = field(default_factory=dict[str, int])
    report: Mapping[str, float] = field(default_factory=dict[str, float])
    memory: Mapping[str, int | None] = field(default_factory=dict[str, "int | None"])
    """Peaks of resident memory, in bytes: `driver_bytes`, and `worker_bytes` of the largest worker."""
    mlflow: Mapping[str, str] | None = None
    message: str | None = None
    """Message for the user: how to resume, or the first failure."""
    failures_allowed: bool = True
    """True if no more items failed than `[failures] allow` permits."""
    notices: tuple[Notice, ...] = ()
    """Warnings and messages of the run."""

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    def to_json(self) -> dict[str, Any]:
        found = self.best.fields(None) if self.best else dict(self.no_answer)
        if self.answer:
            found = self.answer.fields(Path(self.state_dir) if self.state_dir else None)
        return {
            "name": self.name,
            "identity": self.identity,
            "status": self.status,
            "items": self.items,
            "evaluated": self.evaluated,
            "failed": self.failed,
            "failures": dict(self.failures),
            "seconds": round(self.seconds, 3),
            "phases": {phase: round(seconds, 3) for phase, seconds in self.phases.items()},
            "memory": dict(self.memory),
            "items_per_second": None if self.items_per_second is None else round(self.items_per_second, 1),
            **found,
            "report": finite(self.report),
            "state_dir": self.state_dir,
            "mlflow": None if self.mlflow is None else dict(self.mlflow),
            "notices": [vars(notice) for notice in self.notices],
        }
