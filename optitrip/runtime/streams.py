"""A stream that goes on when nobody reads it any more: a closed terminal or pipe is no reason to lose a sweep."""

from __future__ import annotations

import errno
import os
from typing import Any, TextIO


class Forgiving:
    """Writes to a stream; once that fails, what is written goes nowhere, at the end of the process too."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None
        """Why it failed, unless the reader has gone."""

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        gone = isinstance(error, BrokenPipeError) or error.errno == errno.EIO  # of a terminal that was closed
        self.error = self.error if gone else error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
