"""What a command answers: the same facts for the table, for --json and for MLflow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from optitrip.part import Array

Status = Literal["finished", "stopped", "failed"]
"""All done; stopped and to be resumed, with the best so far; ended without an answer."""


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
    seconds: float
    phases: Mapping[str, float]
    items_per_second: float | None
    state_dir: str
    failed: int = 0
    failures: Mapping[str, int] = field(default_factory=dict[str, int])
    best: Best | None = None
    report: Mapping[str, float] = field(default_factory=dict[str, float])
    mlflow: Mapping[str, str] | None = None
    message: str | None = None
    """For the user: how to go on, or the first failure."""
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
            "report": {name: value if math.isfinite(value) else None for name, value in self.report.items()},
            "state_dir": self.state_dir,
            "mlflow": None if self.mlflow is None else dict(self.mlflow),
        }
