"""Summarises an outcome for MLflow: final figures and a description in Markdown."""

from __future__ import annotations

import shlex

import numpy as np

from optitrip.config.sweep import Sweep
from optitrip.output.outcome import Outcome
from optitrip.store.state_dir import SWEEP_FILE


def figures(outcome: Outcome) -> dict[str, float]:
    """Return the final figures by MLflow's keys; those that are not finite are left out."""
    table = dict(outcome.answer.metrics()) if outcome.answer else {}
    table |= {f"report/{name}": value for name, value in outcome.report.items()}
    table |= {f"phase/{name}": seconds for name, seconds in outcome.phases.items()}
    table |= {f"memory/{name}": float(peak) for name, peak in outcome.memory.items() if peak is not None}
    table |= {"failed": float(outcome.failed), "seconds": outcome.seconds}
    if outcome.items_per_second is not None:
        table["items_per_second"] = outcome.items_per_second
    return {name: value for name, value in table.items() if np.isfinite(value)}


def note(outcome: Outcome, sweep: Sweep) -> str:
    """Return the description of the run's page, in Markdown."""
    warnings = [f"- {notice.text}" for notice in outcome.notices if notice.level == "warning"]
    end = ["", "**Warnings**", "", *warnings] if warnings else []
    if outcome.status != "finished" or outcome.answer is None:
        return "\n".join([outcome.message or outcome.status, *end])
    lines = [f"**{outcome.name}**: {outcome.items:,} {outcome.unit}, {outcome.failed:,} failed", ""]
    lines += markdown(["", ""], [[name, literal(value)] for name, value in outcome.answer.rows()])
    if table := outcome.answer.table():
        lines += ["", *markdown(*table)]
    if sweep.lines.path is not None:  # else of Python values, which no file holds
        overrides = [f"--set {shlex.quote(override)}" for override in sweep.overrides]
        command = " ".join(["optitrip sweep", SWEEP_FILE, *overrides])
        end += ["", f"To get the same answer again, run `{command}` with the file from the artifacts."]
    return "\n".join([*lines, *end])


def literal(value: str) -> str:
    """Return a value so that Markdown shows its signs instead of interpreting them."""
    return f"`{value}`" if any(sign in value for sign in "[]*_<>|") else value


def markdown(heads: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(entry.strip().replace('|', '&#124;') for entry in line)} |" for line in lines]
