"""Terminal output: a live line while a sweep runs, and messages above it."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Column
from rich.text import Text

from optitrip.core.notice import Notice
from optitrip.core.observer import Observer, Progress, Running, Written
from optitrip.output.line import Line
from optitrip.output.text import plain, word_wrapped

PIPED_SECONDS = 10.0
"""Seconds between printed lines if stderr is not a terminal, where a line cannot be redrawn."""
BAR_COLUMNS = 10
"""Least width of the progress bar, in columns of the terminal."""


class LiveLine(Line):
    """Shows the progress of a sweep as one live line; prints plain lines now and then if stderr is not a terminal."""

    def __init__(self, console: Console, counted: Progress, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(counted, now)
        self._console, self._bar = console, Bar(self, console)
        self._bar.add_task("", total=counted.total, visible=False)
        (self._task,) = self._bar.tasks
        self._printed_at = now()

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        super().parts(written, new=new)
        if not self._counted.is_main:
            return
        self._bar.update(self._task.id, completed=self._counted.done, visible=self._counted.done > 0)
        if new:
            self._print_now_and_then()

    def running(self, slices: Sequence[Running]) -> None:
        super().running(slices)
        if not (self._counted.is_main and self.slow):
            return
        self._bar.update(self._task.id, visible=True)
        self._print_now_and_then()

    def _print_now_and_then(self) -> None:
        if not self._bar.live.is_started and self._now() - self._printed_at > PIPED_SECONDS:
            self._printed_at = self._now()
            self._console.print(Text(self.text()), soft_wrap=True)

    def show(self) -> AbstractContextManager[Any]:
        """Return a context that shows the line if stderr is a terminal."""
        return self._bar if self._console.is_terminal else nullcontext()


class Bar(RichProgress):
    """The line as of now, and a bar if there is room for it."""

    def __init__(self, line: Line, console: Console) -> None:
        self._line = line
        words = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="crop"))
        self._all_columns = words, BarColumn(bar_width=None)
        super().__init__(*self._all_columns, console=console, expand=True, refresh_per_second=4, transient=True)

    def get_renderables(self) -> Iterable[RenderableType]:
        for task in self.tasks:
            task.description = self._line.text(self.console.width)
            room = self.console.width - cell_len(task.description) - 1  # one column separates the words from the bar
            self.columns = self._all_columns if room >= BAR_COLUMNS else self._all_columns[:1]
        return super().get_renderables()


class Messages(Observer):
    """Shows messages above the live line: those of a command, or the infos of a Python call with `progress=True`, whose
    warnings reach the user through `logging`."""

    def __init__(self, console: Console, *levels: str) -> None:
        self._console, self._levels = console, levels

    def notice(self, notice: Notice) -> None:
        if notice.level in self._levels:
            printed = notice.code == "loss-output"  # by the loss, which may use colours
            if printed:
                self._console.print(Text(notice.text), soft_wrap=True)
            else:
                print_message(self._console, notice.text)


def print_message(console: Console, text: str) -> None:
    """Print a message, on a terminal folded at words."""
    shown = plain(text)
    console.print(Text(word_wrapped(shown, console.width) if console.is_terminal else shown), soft_wrap=True)
