"""What a command answers: the same facts for the table, for --json and for MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from optitrip.part import Array

Status = Literal["finished", "partial", "stopped"]


@dataclass(frozen=True, eq=False)
class Best:
    """The winner."""

    loss: float
    index: int
    values: Mapping[str, Array]
    """A batch of one."""
    file: str | None


@dataclass(frozen=True, eq=False)
class Outcome:
    """A sweep's answer, and what it took."""

    name: str
    identity: str
    status: Status
    items: int
    """Candidates that the answer covers."""
    evaluated: int
    """Of these, evaluated by this command; the others were in the journal."""
    failed: int
    seconds: float
    phases: Mapping[str, float]
    items_per_second: float | None
    best: Best | None
    report: Mapping[str, float]
    state_dir: str
    mlflow: Mapping[str, str] | None
    failures: Mapping[str, int] = field(default_factory=dict[str, int])
    first_failure: str | None = None
    exit_status: int = 0

    def to_json(self) -> dict[str, Any]:
        best = self.best
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
            "items_per_second": None if self.items_per_second is None else round(self.items_per_second, 1),
            "best": None if best is None else {"loss": best.loss, "index": best.index, "file": best.file},
            "report": dict(self.report),
            "state_dir": self.state_dir,
            "mlflow": None if self.mlflow is None else dict(self.mlflow),
        }
