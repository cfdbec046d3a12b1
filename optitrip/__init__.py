"""optitrip evaluates a loss at very many points, in parallel, and keeps the one answer that matters."""

import os
import sys
import time

if sys.argv[:1] == ["-m"] and "optitrip" in sys.orig_argv and not sys.flags.safe_path:
    # `python -m optitrip` searches the working directory first, where a file may have the name of a library.
    sys.path[:1] = [entry for entry in sys.path[:1] if entry == os.path.dirname(__path__[0])]

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optitrip.api.functions import (
        ask_tell,
        descend,
        descent,
        directional,
        estimate,
        gradient,
        search,
        sensitivity,
        sweep,
    )
    from optitrip.api.gradcheck import Gradcheck, gradcheck
    from optitrip.api.jac import Jacobian, jac
    from optitrip.api.session import Session
    from optitrip.errors import InputError, Interrupted, NoAnswer, OptitripError, StateError, Stopped
    from optitrip.loss.objective import batched
    from optitrip.methods.descent.answer import DescentAnswer
    from optitrip.methods.directional.answer import DirectionalAnswer
    from optitrip.methods.estimate.answer import EstimateAnswer
    from optitrip.methods.gradient.answer import GradientAnswer
    from optitrip.methods.search.answer import SearchAnswer
    from optitrip.methods.sensitivity.answer import SensitivityAnswer

__version__ = "0.1.0"
IMPORTED_AT = time.perf_counter()
"""Start of a command's seconds: this line runs before anything large is imported."""
__all__ = [
    "DescentAnswer",
    "DirectionalAnswer",
    "EstimateAnswer",
    "Gradcheck",
    "GradientAnswer",
    "InputError",
    "Interrupted",
    "Jacobian",
    "NoAnswer",
    "OptitripError",
    "SearchAnswer",
    "SensitivityAnswer",
    "Session",
    "StateError",
    "Stopped",
    "ask_tell",
    "batched",
    "descend",
    "descent",
    "directional",
    "estimate",
    "gradcheck",
    "gradient",
    "jac",
    "search",
    "sensitivity",
    "sweep",
]

_HOMES = {
    "api.functions": (
        "ask_tell",
        "descend",
        "descent",
        "directional",
        "estimate",
        "gradient",
        "search",
        "sensitivity",
        "sweep",
    ),
    "api.gradcheck": ("Gradcheck", "gradcheck"),
    "api.jac": ("Jacobian", "jac"),
    "api.session": ("Session",),
    "errors": ("InputError", "Interrupted", "NoAnswer", "OptitripError", "StateError", "Stopped"),
    "loss.objective": ("batched",),
    "methods.descent.answer": ("DescentAnswer",),
    "methods.directional.answer": ("DirectionalAnswer",),
    "methods.estimate.answer": ("EstimateAnswer",),
    "methods.gradient.answer": ("GradientAnswer",),
    "methods.search.answer": ("SearchAnswer",),
    "methods.sensitivity.answer": ("SensitivityAnswer",),
}


def __dir__() -> list[str]:
    """Return the names that a notebook completes."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `optitrip --help` needs none of their modules."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
