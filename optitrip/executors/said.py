"""What a loss prints in a worker, kept to be shown where the sweep was started."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Generator

KEPT = 10_000
"""Characters a slice; a loss that prints for every candidate would otherwise fill the network with it."""


class Said(io.TextIOBase):
    """A text stream that keeps the beginning of what is written to it."""

    def __init__(self) -> None:
        self.text = ""
        self.cut = False

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        kept = text[: KEPT - len(self.text)]
        self.text += kept
        self.cut = self.cut or len(kept) < len(text)
        return len(text)


@contextlib.contextmanager
def heard() -> Generator[Said]:
    """Keep what Python code prints within it; what other code writes to the terminal stays in the worker's log."""
    said = Said()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        yield said
