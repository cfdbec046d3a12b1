"""The summary that a command prints at its end: a table in two columns, whose ids and paths can be copied."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from optitrip.output.outcome import Outcome, Table
from optitrip.output.text import columns, one_line, padded, short_name

WHOLE = {"files", "MLflow", ""}
"""Labels of rows that are never folded."""
BY_WORDS: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}


def summary(outcome: Outcome, width: int, *, checks: bool = False) -> str:
    """Return the summary, followed by the answer's own table if it has one, or that of what it `checks`."""
    failures = ", ".join(f"{count:,} {kind}" for kind, count in outcome.failures.items())
    failed = f" ({outcome.failed:,} failed: {failures})" if outcome.failed else ""
    found = outcome.answer or outcome.best
    phases = ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in outcome.phases.items() if seconds >= 0.05)
    peaks = {"driver": outcome.memory.get("driver_bytes"), "largest worker": outcome.memory.get("worker_bytes")}
    memory = ", ".join(f"{who} {peak / 1e6:,.0f} MB" for who, peak in peaks.items() if peak is not None)
    rows = [
        (f"{outcome.name}-{outcome.identity}", outcome.status),
        (outcome.unit, f"{outcome.items:,}{failed}"),
        *(found.rows() if found else []),
        ("seconds", f"{outcome.seconds:.1f} ({phases})" if phases else f"{outcome.seconds:.1f}"),
        *([("memory", memory)] if memory else []),
    ]
    if (rate := outcome.items_per_second) is not None:
        text = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        rows.append(("rate", f"{text} {outcome.unit} a second, {outcome.evaluated:,} evaluated now"))
    if outcome.state_dir:
        rows.append(("files", outcome.state_dir))
    lines = rows_as_lines(rows, width)
    own = outcome.answer
    if own and (below := (own.checked_table() if checks else None) or own.table()):
        lines += ["", *table_as_lines(below)]
    return "\n".join(lines)


def location(mlflow: Mapping[str, str]) -> str:
    """Return the lines on the MLflow run, which is complete after the summary is printed."""
    rows = [("MLflow", f"experiment {mlflow['experiment']}"), ("", f"run {mlflow['run_id']}")]
    return "\n".join(rows_as_lines([*rows, ("", "optitrip ui shows it")], 80))


def rows_as_lines(rows: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Return rows as lines of two columns; a text too long for its column goes on in the next line, and one beside a
    very long label begins there."""
    labels = [short_name(label).rstrip() for label, _ in rows]
    longest = width // 2  # of a label beside its text
    first = max(10, *(size for size in map(columns, labels) if size <= longest)) + 2
    lines: list[str] = []
    for label, (_, text) in zip(labels, rows, strict=True):
        folded = [] if label in WHOLE else wrap(one_line(text), max(width - first, 1), **BY_WORDS)
        pieces = folded or [one_line(text)]
        if columns(label) > longest:
            lines.append(label)
            label = ""
        beside = [label, *[""] * (len(pieces) - 1)]
        lines += [(padded(head, first) + piece).rstrip() for head, piece in zip(beside, pieces, strict=True)]
    return lines


def table_as_lines(table: Table) -> list[str]:
    """Return a table as a textbook prints it: numbers on the right, below a line of heads; the rows end with none."""
    heads, rows = table
    entries = [[one_line(entry) for entry in row] for row in (heads, *rows)]
    widths = [max(map(columns, column)) for column in zip(*entries, strict=True)]
    sides = [">" if head else "<" for head in heads]
    lines = [" | ".join(map(padded, row, widths, sides)).rstrip() for row in entries]
    return [lines[0], "-+-".join("-" * size for size in widths), *lines[1:]]
