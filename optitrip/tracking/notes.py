"""The description of an MLflow run, in Markdown."""

import re
import shlex

from optitrip.config.sweep import Sweep
from optitrip.output.outcome import Outcome
from optitrip.output.text import one_line, plain, short_name
from optitrip.store.state_dir import SWEEP_FILE


def note(outcome: Outcome, sweep: Sweep) -> str:
    warnings = [f"- {literal(notice.text)}" for notice in outcome.notices if notice.level == "warning"]
    end = ["", "**Warnings**", "", *warnings] if warnings else []
    if outcome.status != "finished" or outcome.answer is None:
        first, *rest = plain(outcome.message or outcome.status).strip().split("\n")
        return "\n".join([literal(first), *(["", *(f"    {line}" for line in rest)] if rest else []), *end])
    lines = [f"**{outcome.name}**: {outcome.items:,} {outcome.unit}, {outcome.failed:,} failed", ""]
    lines += markdown(["", ""], [[literal(short_name(name)), literal(value)] for name, value in outcome.answer.rows()])
    if table := outcome.answer.table():
        heads, rows = table
        lines += ["", *markdown(heads, [[literal(entry) for entry in row] for row in rows])]
    if sweep.lines.path is not None:  # otherwise the sweep was made from Python values
        overrides = [f"--set {shlex.quote(override)}" for override in sweep.overrides]
        command = one_line(" ".join(["optitrip sweep", SWEEP_FILE, *overrides]))
        fence = "`" * (1 + max(map(len, re.findall("`+", command)), default=0))
        end += ["", f"To get the same answer again, run {fence}{command}{fence} with the file from the artifacts."]
    return "\n".join([*lines, *end])


def literal(text: str) -> str:
    """Return text on one line, with its special characters as entities, which Markdown shows and does not interpret."""
    return re.sub(r"[\\`*_<>|&~#$]|\](?=[(:\[])", lambda special: f"&#{ord(special[0])};", one_line(text).strip())


def markdown(heads: list[str], rows: list[list[str]]) -> list[str]:
    lines = [[head.replace("|", "&#124;") for head in heads], ["---"] * len(heads), *rows]
    return [f"| {' | '.join(entry.strip() for entry in line)} |" for line in lines]
