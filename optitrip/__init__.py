"""optitrip evaluates a loss at very many points, in parallel, and keeps the one answer that matters."""

from __future__ import annotations

import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optitrip.api.functions import gradient, search, sweep
    from optitrip.api.session import Session
    from optitrip.errors import InputError, Interrupted, NoAnswer, OptitripError, StateError, Stopped
    from optitrip.loss.objective import batched
    from optitrip.methods.gradient.answer import GradientAnswer
    from optitrip.methods.search.answer import SearchAnswer

__version__ = "0.1.0"
IMPORTED_AT = time.perf_counter()
"""A command counts its seconds from here: this runs before anything large is imported."""
__all__ = [
    "GradientAnswer",
    "InputError",
    "Interrupted",
    "NoAnswer",
    "OptitripError",
    "SearchAnswer",
    "Session",
    "StateError",
    "Stopped",
    "batched",
    "gradient",
    "search",
    "sweep",
]

_HOMES = {
    "GradientAnswer": "methods.gradient.answer",
    "SearchAnswer": "methods.search.answer",
    "Session": "api.session",
    "gradient": "api.functions",
    "search": "api.functions",
    "sweep": "api.functions",
    "InputError": "errors",
    "Interrupted": "errors",
    "NoAnswer": "errors",
    "OptitripError": "errors",
    "StateError": "errors",
    "Stopped": "errors",
    "batched": "loss.objective",
}


def __dir__() -> list[str]:
    """What a notebook completes."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used: `optitrip --help` needs none of what they need."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
