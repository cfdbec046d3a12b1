"""How long a sweep waits, and for what."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """In seconds."""

    write: float = 0.2
    """From one transaction of the journal to the next: to wait for the disk costs more than all else of a slice."""
    pause: float = 60.0
    """For a disk that has no room."""
    drain: float = 10.0
    """For slices that were begun, when someone asks to stop."""
    wait: float = math.inf
    """For workers, when there are none."""
    item: float | None = None
    """What an item may take, where workers can be killed."""
