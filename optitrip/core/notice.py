"""Notices: warnings and messages for the user, in the logger `optitrip`, on stderr, in `--json` and in MLflow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Code = Literal[
    "crashed-before",
    "executor",
    "journal-damaged",
    "journal-unwritable",
    "late-slice",
    "loss-output",
    "mlflow-incomplete",
    "new-sweep",
    "no-picture",
    "no-time-limit",
    "no-workers",
    "node-quarantined",
    "not-deterministic",
    "notices-left-out",
    "object-store",
    "quarantined-item",
    "ray-failed",
    "resuming",
    "retrying",
    "slow-block",
    "stored-result",
    "worker-refused",
]
"""All codes. Programs and tests rely on them: the text of a notice may be reworded, its code may not."""


@dataclass(frozen=True)
class Notice:
    """One message; `--json` prints its fields."""

    level: Literal["info", "warning"]
    """Severity: a warning reports something that the user may have to act on, an info what optitrip does."""
    code: Code
    text: str


def info(code: Code, text: str) -> Notice:
    return Notice("info", code, text)


def warning(code: Code, text: str) -> Notice:
    return Notice("warning", code, text)
