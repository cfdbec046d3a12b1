"""Notices: warnings and messages for the user.

Commands show all on stderr; Python calls send them to the logger `optitrip`. The first 200, except `loss-output`, the
text that the loss printed, go to `--json` and a finished sweep's result file, warnings also to the MLflow run.
"""

from dataclasses import dataclass
from typing import Literal

Code = Literal[
    "attribute-ignored",
    "best-run",
    "crashed-before",
    "diverged",
    "executor",
    "gradient-doubtful",
    "gradient-wrong",
    "item-failed",
    "journal-damaged",
    "journal-unwritable",
    "late-slice",
    "loss-output",
    "low-precision",
    "mirror",
    "mirror-failed",
    "mlflow-away",
    "mlflow-incomplete",
    "mlflow-settled",
    "named-like-library",
    "new-sweep",
    "no-picture",
    "no-time-limit",
    "no-token",
    "no-workers",
    "node-lost",
    "node-quarantined",
    "not-checked",
    "not-deterministic",
    "notices-left-out",
    "object-store",
    "process-changed",
    "ray-failed",
    "ray-is-full",
    "resuming",
    "result-files",
    "retrying",
    "rounded-to-zero",
    "signal-handlers",
    "slow-block",
    "state-changed",
    "stored-result",
    "vanishing",
    "variables-left-out",
    "worker-refused",
]
"""Codes of all notices. Programs and tests rely on them: a text may be reworded, a code must not change."""


@dataclass(frozen=True)
class Notice:
    """One message; `--json` prints its fields."""

    level: Literal["info", "warning"]
    """Severity: a warning may require the user to act; an info reports what optitrip does."""
    code: Code
    text: str


def info(code: Code, text: str) -> Notice:
    return Notice("info", code, text)


def warning(code: Code, text: str) -> Notice:
    return Notice("warning", code, text)
