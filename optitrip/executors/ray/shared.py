"""Ray where optitrip shares it: with its user in this process, with the loss on workers, with others on a cluster."""

import os
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import ray

from optitrip.errors import InputError, Stopped
from optitrip.executors.ray.joining import check_listening
from optitrip.runtime.imports import file_of, own_modules, source_bytes

PROCESS = os.getpid()
HEAD_SECONDS = 20.0
"""Seconds without an answer of the head after which it is lost; after 60, Ray would silently end this process."""
PATIENCE_SECONDS = 10.0
"""Seconds of a slice after which the loss may be waiting for tasks of its own."""


def check_not_forked() -> None:
    """Raise InputError in a process forked from one that uses Ray: every call to Ray would hang."""
    if os.getpid() != PROCESS and ray.is_initialized():
        raise InputError(
            "this process was forked from one that uses Ray, and cannot use it; use executor serial here, or start "
            "processes by the method 'spawn'"
        )


class Connection:
    """This process's connection to Ray, which its user may close."""

    def __init__(self) -> None:
        self._identity = connection()
        self._head, self._seen = str(ray.get_runtime_context().gcs_address), time.monotonic()
        self.headless = False
        """True once the head of the cluster is lost."""

    @property
    def closed(self) -> bool:
        """True if the user has shut Ray down, though another one may run now."""
        return not ray.is_initialized() or connection() != self._identity

    def check_head(self, seconds: float) -> None:
        """Raise Stopped if the head, and with it the cluster, has not answered for long."""
        try:
            check_listening(self._head, seconds)
            self._seen = time.monotonic()
        except OSError as error:
            if time.monotonic() - self._seen > HEAD_SECONDS:
                self.headless = True
                back = f"If this node was cut off, bring it back with `ray stop` and `ray start --address={self._head}`"
                raise Stopped(
                    f"the head of the Ray cluster, {self._head}, no longer answers ({error}). {back}"
                ) from None


def connection() -> tuple[str, str]:
    context = ray.get_runtime_context()
    return context.get_node_id(), context.get_job_id()


def user_imports_ray() -> bool:
    """Return whether the script, the notebook or a module of the user imports Ray, so that the loss may use it."""
    main = sys.modules["__main__"]
    if any(isinstance(value, ModuleType) and value.__name__ == "ray" for value in list(vars(main).values())):
        return True
    files = {file_of(module) for module in (main, *(module for _, module in own_modules()))}
    imports = re.compile(rb"^\s*(import|from)\s+ray\b", re.MULTILINE)
    for file in filter(None, files):
        with suppress(OSError, ValueError, KeyError):  # its source is no longer there
            if imports.search(source_bytes(Path(file))):
                return True
    return False


def holds_all_cpus(seconds: float) -> str:
    """Return a warning if a slice has run for so long while Ray has no CPU for tasks of the loss; "" otherwise."""
    if seconds < PATIENCE_SECONDS or ray.available_resources().get("CPU", 0) >= 1:
        return ""
    return (
        f"a slice has run for {seconds:.0f} s, and all CPUs of Ray are in use: if the loss waits for Ray tasks of its "
        "own, they cannot start. Use fewer workers (--workers, [run] workers), or give its tasks num_cpus=0"
    )
