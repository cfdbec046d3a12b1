"""Shows a sweep in a notebook: one line of output, which is replaced while the sweep runs."""

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from optitrip.core.observer import Progress, Written
from optitrip.output.line import Line

FIRST_SECONDS, NEXT_SECONDS = 1.0, 0.5
"""Seconds until the line is first shown, so that short calls show nothing, and between later ones."""


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


class NotebookLine(Line):
    """Shows the progress of a sweep as one line of a cell's output."""

    def __init__(self, counted: Progress, now: Callable[[], float]) -> None:
        super().__init__(counted, now)
        self._shown: Any = None
        self._next = now() + FIRST_SECONDS

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        super().parts(written, new=new)
        if new and self._now() >= self._next:
            self._show()
            self._next = self._now() + NEXT_SECONDS

    def _show(self) -> None:
        data = {"text/plain": self.text()}
        with suppress(Exception):  # a line that cannot be shown must not fail the sweep
            if self._shown is None:
                self._shown = import_module("IPython.display").display(data, raw=True, display_id=True)
            else:
                self._shown.update(data, raw=True)

    @contextmanager
    def show(self) -> Generator[None]:
        """Bring the line up to date at the end, if it is there."""
        try:
            yield
        finally:
            if self._shown is not None:
                self._show()
