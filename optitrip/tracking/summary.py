"""An outcome in words and figures, for MLflow."""

from __future__ import annotations

import shlex

import numpy as np

from optitrip.config.sweep import Sweep
from optitrip.output.outcome import Outcome
from optitrip.store.state_dir import SWEEP_FILE


def figures(outcome: Outcome) -> dict[str, float]:
    """The end figures for MLflow."""
    table = dict(outcome.answer.metrics()) if outcome.answer else {}
    table |= {f"report/{name}": value for name, value in outcome.report.items()}
    table |= {f"phase/{name}": seconds for name, seconds in outcome.phases.items()}
    table |= {f"memory/{name}": float(peak) for name, peak in outcome.memory.items() if peak is not None}
    table |= {"failed": float(outcome.failed), "seconds": outcome.seconds}
    if outcome.items_per_second is not None:
        table["items_per_second"] = outcome.items_per_second
    return {name: value for name, value in table.items() if np.isfinite(value)}


def note(outcome: Outcome, sweep: Sweep) -> str:
    """The description of the run's page, in Markdown."""
    warnings = [f"- {notice.text}" for notice in outcome.notices if notice.level == "warning"]
    warned = ["", "**Warnings**", "", *warnings] if warnings else []
    if outcome.status != "finished" or outcome.answer is None:
        return "\n".join([outcome.message or outcome.status, *warned])
    lines = [f"**{outcome.name}**: {outcome.items:,} {outcome.unit}, {outcome.failed:,} failed", ""]
    lines += markdown(["", ""], [[name, cell(value)] for name, value in outcome.answer.rows()])
    if table := outcome.answer.table():
        lines += ["", *markdown(*table)]
    if sweep.lines is None or sweep.lines.path is None:  # of Python values, which no file holds
        return "\n".join([*lines, *warned])
    overrides = [f"--set {shlex.quote(one)}" for one in sweep.overrides]
    command = " ".join(["optitrip sweep", SWEEP_FILE, *overrides])
    return "\n".join([*lines, *warned, "", f"The same answer again: `{command}`, with the file from the artifacts."])


def cell(value: str) -> str:
    """A value as it stands, where Markdown would make something of its signs."""
    return f"`{value}`" if any(sign in value for sign in "[]*_<>|") else value


def markdown(heads: list[str], rows: list[list[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(entry.strip().replace('|', '&#124;') for entry in line)} |" for line in lines]
