"""Terminal output: a live line while a sweep runs, messages, and a summary table at the end."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Column, Table
from rich.text import Text

from optitrip.core.method import Method
from optitrip.core.notice import Notice
from optitrip.core.observer import Observer, Progress, Times, Written
from optitrip.core.part import Part
from optitrip.output.outcome import Outcome
from optitrip.output.text import one_line, plain, short_name

PIPED_SECONDS = 10.0
"""Seconds between printed lines if stderr is not a terminal, where a line cannot be redrawn."""
BAR_COLUMNS = 10
"""Least width of the progress bar, in columns of the terminal."""
TIME_LEFT = TimeRemainingColumn(compact=True)


class LiveLine(Observer):
    """Shows the progress of a sweep as one live line; prints plain lines now and then if stderr is not a terminal."""

    def __init__(self, console: Console, counted: Progress) -> None:
        self._console, self._counted = console, counted
        words = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="crop"))
        self._columns = words, BarColumn(bar_width=None)
        self._bar = RichProgress(*self._columns, console=console, expand=True, refresh_per_second=4, transient=True)
        self._bar.add_task("", total=counted.total, visible=False)
        (self._task,) = self._bar.tasks
        self._printed_at = time.monotonic()

    def stage(self, method: Method) -> None:
        self._counted.stage(method)
        self._bar.reset(self._task.id, completed=self._counted.done)

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        if not self._counted.is_main:
            return
        self._counted.parts(written, new=new)
        # The bar's rate is a recent one: an average over the whole run would include the start of Ray for minutes.
        if new:
            self._bar.update(self._task.id, completed=self._counted.done)
        else:  # items from an earlier run say nothing about this rate
            self._bar.reset(self._task.id, completed=self._counted.done)
        self._update_words()
        if new and not self._bar.live.is_started and time.monotonic() - self._printed_at > PIPED_SECONDS:
            self._printed_at = time.monotonic()
            self._console.print(Text(self._task.description), soft_wrap=True)

    def retried(self, part: Part, times: Times) -> None:
        self._counted.retried(part, times)
        self._update_words()

    def _update_words(self) -> None:
        words, rate = self._counted.words(), self._task.speed
        if rate:
            time_left = str(TIME_LEFT.render(self._task)).removeprefix("0")  # saves one of 80 columns
            words += f" | {rate:,.{0 if rate >= 10 else 2}f}/s | {time_left} left"
        room = self._console.width - cell_len(words) - 1  # one column separates the words from the bar
        self._bar.columns = self._columns if room >= BAR_COLUMNS else self._columns[:1]
        self._bar.update(self._task.id, description=words, visible=self._counted.done > 0)

    def show(self) -> AbstractContextManager[Any]:
        """Return a context that shows the line if stderr is a terminal."""
        return self._bar if self._console.is_terminal else nullcontext()


class Messages(Observer):
    """Shows messages above the live line: those of a command, or the infos of a Python call with `progress=True`, whose
    warnings reach the user through `logging`."""

    def __init__(self, console: Console, *levels: str) -> None:
        self._console, self._levels = console, levels

    def notice(self, notice: Notice) -> None:
        if notice.level in self._levels:
            printed = notice.code == "loss-output"  # by the loss, which may use colours
            self._console.print(Text(notice.text if printed else plain(notice.text)), soft_wrap=True)


def summary(outcome: Outcome) -> Group:
    """Return the summary table, followed by the answer's own table if it has one."""
    failures = ", ".join(f"{count:,} {kind}" for kind, count in outcome.failures.items())
    failed = f" ({outcome.failed:,} failed: {failures})" if outcome.failed else ""
    found = outcome.answer or outcome.best
    phases = ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in outcome.phases.items() if seconds >= 0.05)
    peaks = {"driver": outcome.memory.get("driver_bytes"), "largest worker": outcome.memory.get("worker_bytes")}
    rows = [
        (f"{outcome.name}-{outcome.identity}", outcome.status),
        (outcome.unit, f"{outcome.items:,}{failed}"),
        *(found.rows() if found else []),
        ("seconds", f"{outcome.seconds:.1f} ({phases})" if phases else f"{outcome.seconds:.1f}"),
        ("memory", ", ".join(f"{who} {peak / 1e6:,.0f} MB" for who, peak in peaks.items() if peak is not None)),
    ]
    if (rate := outcome.items_per_second) is not None:
        rows.append(("rate", f"{rate:,.0f} {outcome.unit} a second, {outcome.evaluated:,} evaluated now"))
    if outcome.state_dir:
        rows.append(("files", outcome.state_dir))
    table = table_of(rows)
    if outcome.answer is None or (below := outcome.answer.table()) is None:
        return Group(table)
    heads, lines = below
    numbers = Table(box=box.ASCII2, show_edge=False, pad_edge=False, header_style="none")  # as a textbook prints them
    for head in heads:
        numbers.add_column(Text(one_line(head)), justify="right" if head else "left", no_wrap=True)
    for entries in lines:
        numbers.add_row(*(Text(one_line(entry)) for entry in entries))
    return Group(table, "", numbers)


def location(mlflow: Mapping[str, str]) -> Table:
    """Return the rows on the MLflow run, which is complete after the summary is printed."""
    where = f"experiment {mlflow['experiment']}, run {mlflow['run_id']}"
    return table_of([("MLflow", where), ("", "optitrip ui shows it")])


def table_of(rows: Sequence[tuple[str, str]]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=10)  # as wide in all tables of a command, with most words
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(Text(short_name(name)), Text(one_line(text)))
    return table
