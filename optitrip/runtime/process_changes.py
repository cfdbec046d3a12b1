"""Finds what a loss changes in its process while it runs, so that later items may find another one."""

import os
import pickle
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from optitrip.runtime.libraries import search_path
from optitrip.runtime.user_state import UserState, flushes_denormals


def working_directory() -> str | None:
    with suppress(OSError):  # it was removed
        return os.getcwd()
    return None


READERS: Mapping[str, Callable[[], Any]] = {
    "the random state (random, numpy.random)": lambda: (random.getstate(), pickle.dumps(np.random.get_state())),  # noqa: NPY002
    "the working directory": working_directory,
    "environment variables": lambda: dict(os.environ),
    "sys.path": search_path,
    "denormal numbers": flushes_denormals,
}


def snapshot(state: UserState | None) -> dict[str, Any]:
    """Return what may change the result of a loss, by name; `state` holds the settings of its context."""
    return {name: read() for name, read in READERS.items()} | (state.read() if state else {})


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of what differs between two snapshots; new environment variables, as many libraries set when
    they are imported, do not count."""
    known = {name: after["environment variables"].get(name) for name in before["environment variables"]}
    after = {**after, "environment variables": known}
    return tuple(name for name in before if before[name] != after[name])
