"""What decides the bits of a number beside the code: libraries, and the instructions that they choose here."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

import optitrip

MACHINE = ("processor", "BLAS core", "SIMD")
"""What depends on the processor. Workers must agree in it with each other; the driver evaluates nothing."""


def facts() -> dict[str, str]:
    """Of this process."""
    # Other libraries bring their own, which one process may have loaded and another not yet.
    pools = [pool for pool in threadpool_info() if "numpy" in str(pool.get("filepath")) and "architecture" in pool]
    cores = sorted({str(pool["architecture"]) for pool in pools})
    found = {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "optitrip": optitrip.__version__,
        "numpy": np.__version__,
        "scipy": version("scipy"),
        "processor": platform.machine(),
        "BLAS core": " ".join(cores),
        "SIMD": " ".join(simd()),
    }
    if "torch" in sys.modules:
        found["torch"] = version("torch")
    return found


def simd() -> list[str]:
    """The instructions that NumPy uses here; none where this version of it does not tell."""
    umath: Any = getattr(getattr(np, "_core", None), "_multiarray_umath", None)
    features: Mapping[str, bool] = getattr(umath, "__cpu_features__", {})
    return sorted(name for name, there in features.items() if there)


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """What both tell and does not agree, in words; a library that one of them has not loaded is no difference."""
    return [
        f"{name} is {brief(there[name], here[name])} there and {brief(here[name], there[name])} elsewhere"
        for name in here
        if name in there and here[name] != there[name]
    ]


def brief(mine: str, other: str) -> str:
    """Of a list of words, those that the other lacks."""
    words = [word for word in mine.split() if word not in other.split()]
    return " ".join(words) or "less"
