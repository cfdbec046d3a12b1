"""Notices: warnings and messages for the user, each with a level and a code that programs and tests can rely on.

A notice goes to the logger `optitrip`, into the outcome, into `--json` and to MLflow; a command shows it on stderr.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["info", "warning"]
"""Severity: a warning reports something that the user may have to act on; an info reports what optitrip does."""

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
"""All codes. The text of a notice may be reworded, its code may not."""


@dataclass(frozen=True)
class Notice:
    """One message; `--json` prints its fields."""

    level: Level
    code: Code
    text: str


def info(code: Code, text: str) -> Notice:
    return Notice("info", code, text)


def warning(code: Code, text: str) -> Notice:
    return Notice("warning", code, text)
