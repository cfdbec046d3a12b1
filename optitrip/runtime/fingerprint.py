"""Fingerprint of the numerical environment: versions of libraries, BLAS kernel and SIMD instructions."""

import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

import optitrip

MACHINE = ("processor", "BLAS core", "SIMD")
"""Facts about the processor. Only workers are compared by them: the driver may run on another kind of machine."""


VERSIONS = {
    "python": ".".join(platform.python_version_tuple()[:2]),
    "optitrip": optitrip.__version__,
    "numpy": version("numpy"),
    "scipy": version("scipy"),
}
"""Versions of libraries, found before the user's code could change the import path."""


def facts() -> dict[str, str]:
    # Other libraries bring their own BLAS, which one process may have loaded and another not yet.
    pools = [pool for pool in threadpool_info() if "numpy" in str(pool.get("filepath")) and "architecture" in pool]
    umath: Any = getattr(getattr(np, "_core", None), "_multiarray_umath", None)
    features: Mapping[str, bool] = getattr(umath, "__cpu_features__", {})  # not in every version of NumPy
    return {
        **VERSIONS,
        "processor": platform.machine(),
        "BLAS core": " ".join(sorted({str(pool["architecture"]) for pool in pools})),
        "SIMD": " ".join(sorted(name for name, available in features.items() if available)),
        **({"torch": str(getattr(sys.modules["torch"], "__version__", ""))} if "torch" in sys.modules else {}),
    }


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """Describe the facts in which two processes differ; a library that only one has loaded does not count."""
    return [
        f"{name} is {words_beyond(there[name], here[name])} there and {words_beyond(here[name], there[name])} elsewhere"
        for name in here
        if name in there and here[name] != there[name]
    ]


def words_beyond(text: str, other: str) -> str:
    """Return the words of a text that another one lacks."""
    return " ".join(word for word in text.split() if word not in other.split()) or "less"
