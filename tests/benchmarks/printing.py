"""Standings as a table of 80 columns for a terminal, or as Markdown."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from rounds import Row, Standings

UNITS = ((86_400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
WORTH_TELLING = 0.05
"""Seconds from which on what stands apart is told."""


def duration(seconds: float) -> str:
    """Three digits and a unit: minutes, hours and days from two of them on."""
    for size, unit in UNITS:
        if seconds >= (2 * size if size > 1 else size):
            return f"{digits(seconds / size)} {unit}"
    return f"{seconds * 1e9:.2g} ns"


def digits(number: float) -> str:
    """Three significant digits."""
    return f"{float(f'{number:.3g}'):,.0f}" if number >= 99.95 else f"{number:.3g}"


def headings(standings: Standings) -> list[str]:
    work = standings.work
    return [work.title, f"{work.unit}s", "each", "speed", f"{work.whole:,}", "start"]


def cells(row: Row, whole: int) -> list[str]:
    return [
        row.name,
        f"{row.items:,}",
        duration(row.each),
        digits(row.speed) if row.speed >= 0.01 else f"1/{digits(1 / row.speed)}",
        duration(row.each * whole),
        duration(row.start) if row.start >= WORTH_TELLING else "-",
    ]


def notes(standings: Standings) -> list[str]:
    """Below the table: how it was measured, what stands apart, who did not compete."""
    work = standings.work
    said = [
        f"Medians of {standings.rounds} turns each, taken in rounds. speed: against {standings.rows[0].name}. "
        "start: before it could work."
    ]
    if any(row.items < work.whole for row in standings.rows):
        said[0] += f" {work.whole:,} {work.unit}s are extrapolated where a turn has fewer."
    for row in standings.rows:
        apart = [f"{name} {duration(seconds)}" for name, seconds in row.apart.items() if seconds >= WORTH_TELLING]
        said += [f"{row.name}: {', '.join(apart)} a turn, not counted above."] if apart else []
    for missing in dict.fromkeys(standings.skipped.values()):
        names = [name for name, why in standings.skipped.items() if why == missing]
        said.append(f"Skipped, because {missing}: {'; '.join(names)}.")
    return said


def show(standings: Standings, console: Console) -> None:
    """Print a table, at most 80 columns wide, and its notes."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    first, *others = headings(standings)
    table.add_column(first, min_width=26)
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in standings.rows:
        table.add_row(*cells(row, standings.work.whole))
    console.print(table)
    for note in notes(standings):
        console.print(note, width=80, highlight=False, markup=False)
    console.print()


def markdown(standings: Standings) -> str:
    """Return a table and its notes for a page."""
    first, *others = headings(standings)
    lines = [f"| {' | '.join([first, *others])} |", f"|---|{'---:|' * len(others)}"]
    lines += [f"| {' | '.join(cells(row, standings.work.whole))} |" for row in standings.rows]
    return "\n".join([*lines, "", *notes(standings), ""])
