"""What a person sees: a live line while a sweep runs, messages, and a short table at the end."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from optitrip.core.method import Method
from optitrip.core.notice import Notice
from optitrip.core.observer import Observer, Times, Written
from optitrip.core.part import Part
from optitrip.core.progress import Progress
from optitrip.output.outcome import Outcome

PIPED_SECONDS = 10.0
"""Between lines where there is no terminal to redraw one on."""
RECENT_PARTS = 20
"""From which the rate is told: an average over all would count the start of Ray for minutes."""


class LiveLine(Observer):
    """Shows how far a sweep is, in the words of its method, and messages.

    Args:
        console: the terminal behind stderr.
        progress: what counts and words the progress; it is told of all that this observer is.
    """

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console, self._progress = console, progress
        self._live: Live | None = None
        self._main = False
        self._told_at = time.monotonic()
        self._recent: deque[tuple[float, int]] = deque(maxlen=RECENT_PARTS)

    def stage(self, method: Method) -> None:
        self._progress.stage(method)
        self._main = method.main
        self._recent.clear()

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        if not self._main:
            return
        self._progress.parts(written, new=new)
        if new:
            self._recent.append((time.monotonic(), self._progress.done))
        if self._live is None and new and time.monotonic() - self._told_at > PIPED_SECONDS:
            self._told_at = time.monotonic()
            self._console.print(self._line(), soft_wrap=True)

    def retried(self, part: Part, times: Times) -> None:
        self._progress.retried(part, times)

    @contextmanager
    def shown(self) -> Generator[None]:
        """Keep the line on the terminal; where stderr is none, a plain line appears now and then instead."""
        if not self._console.is_terminal:
            yield
            return
        with Live(get_renderable=self._line, console=self._console, refresh_per_second=4, transient=True) as live:
            self._live = live
            yield

    def _line(self) -> Text:
        progress = self._progress
        if not progress.done:
            return Text("")
        line = progress.words()
        if len(self._recent) > 1 and self._recent[-1][0] > self._recent[0][0]:
            (since, before), (until, now) = self._recent[0], self._recent[-1]
            rate = (now - before) / (until - since)
            left = clock((progress.total - progress.done) / (rate or 1))
            line += f" | {rate:,.{0 if rate >= 10 else 2}f}/s | {left} left"
        return Text(line, no_wrap=True, overflow="crop")


class Messages(Observer):
    """Shows messages from Python, where `progress=True` asks for them; warnings go through `logging` anyway."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def notice(self, notice: Notice) -> None:
        if notice.level == "info":
            self._console.print(Text(notice.text), soft_wrap=True)


class ConsoleHandler(logging.Handler):
    """Shows on a terminal what is logged, above the live line."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(Text(record.getMessage()), soft_wrap=True)


@contextmanager
def logged_to(handler: logging.Handler) -> Generator[None]:
    """Send what the logger `optitrip` is given to a handler, and nowhere else; as it was before afterwards."""
    logger = logging.getLogger("optitrip")
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def summary(outcome: Outcome) -> Group:
    """The short table at the end, and below it the answer's own, if it has one."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")

    def row(name: str, value: str) -> None:
        table.add_row(name, Text(value))

    row(f"{outcome.name}-{outcome.identity}", outcome.status)
    failures = ", ".join(f"{count:,} {kind}" for kind, count in outcome.failures.items())
    failed = f" ({outcome.failed:,} failed: {failures})" if outcome.failed else ""
    row(outcome.unit, f"{outcome.items:,}{failed}")
    found = outcome.answer or outcome.best
    for name, value in found.rows() if found else []:
        row(name, value)
    phases = ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in outcome.phases.items() if seconds >= 0.05)
    row("seconds", f"{outcome.seconds:.1f} ({phases})" if phases else f"{outcome.seconds:.1f}")
    peaks = {"driver": outcome.memory.get("driver_bytes"), "largest worker": outcome.memory.get("worker_bytes")}
    row("memory", ", ".join(f"{who} {peak / 1e6:,.0f} MB" for who, peak in peaks.items() if peak is not None))
    if outcome.items_per_second is not None:
        row("rate", f"{outcome.items_per_second:,.0f} {outcome.unit} a second, {outcome.evaluated:,} evaluated now")
    if outcome.state_dir:
        row("files", outcome.state_dir)
    if outcome.mlflow:
        row("MLflow", f"experiment {outcome.mlflow['experiment']}, run {outcome.mlflow['run_id']}")
        row("", "optitrip ui shows it")
    below = outcome.answer.table() if outcome.answer else None
    return Group(table, "", classic(*below)) if below else Group(table)


def classic(heads: list[str], rows: list[list[str]]) -> Table:
    """Numbers in columns, as in a textbook."""
    table = Table(box=box.ASCII2, show_edge=False, pad_edge=False, header_style="none")
    for head in heads:
        table.add_column(Text(head), justify="right" if head else "left", no_wrap=True)
    for entries in rows:
        table.add_row(*map(Text, entries))
    return table
