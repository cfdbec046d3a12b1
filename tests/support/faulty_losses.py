"""Losses that do to their workers what real ones do. Importable on workers."""

from __future__ import annotations

import ctypes
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOREVER = 1e9


class Unpicklable(Exception):
    """Holds what cannot travel, and cannot even say what it is."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def __str__(self) -> str:
        raise RuntimeError("no words")


def raises(error: BaseException) -> Any:
    raise error


def forks() -> float:
    """Does its work in a copy of the process, as simulators with a library that leaks do."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, b"done")
        os._exit(0)
    os.waitpid(child, 0)
    return float(os.read(reader, 4) == b"done")


def has_threads() -> float:
    """One ends in an exception, one never ends."""
    threading.Thread(target=time.sleep, args=(FOREVER,), daemon=True).start()
    failing = threading.Thread(target=lambda: 1 / 0)
    failing.start()
    failing.join()
    return 1.0


def handles_signals() -> float:
    """Deaf to all that it may be deaf to."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    return 1.0


def with_a_child() -> None:
    """A simulator in a process of its own that never ends."""
    child = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({FOREVER})"])
    Path(os.environ["FAULTY"], "child").write_text(str(child.pid))
    child.wait()


DEADLY: dict[str, Callable[[], Any]] = {
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda: ctypes.string_at(0),
    "_exit": lambda: os._exit(0),
    "abort": lambda: os.abort(),
}
"""Faults that end the process."""
HANGING: dict[str, Callable[[], Any]] = {
    "sleep": lambda: time.sleep(FOREVER),
    "loop in C that holds the interpreter": lambda: sum(itertools.repeat(0)),
    "child process": with_a_child,
}
"""Faults that never end."""
UNUSUAL: dict[str, Callable[[], float]] = {
    "fork": forks,
    "threads": has_threads,
    "signal handlers": handles_signals,
}
"""Allowed uses of the process; each returns 1. Not a pool of forked processes: as Python says itself, one of
these may wait for ever for a thread that was not forked with it."""
RAISING: dict[str, Callable[[], Any]] = {
    "exception": lambda: raises(ValueError("no")),
    "sys.exit": lambda: sys.exit(0),
    "panic": lambda: raises(Panic("no")),
    "KeyboardInterrupt": lambda: raises(KeyboardInterrupt("no")),
    "GeneratorExit": lambda: raises(GeneratorExit("no")),
    "MemoryError": lambda: raises(MemoryError()),
    "unpicklable": lambda: raises(Unpicklable()),
    "wrong type": lambda: "many",
    "wrong shape": lambda: [1.0, 2.0],
    "complex": lambda: 1j,
    "None": lambda: None,
    "NaN": lambda: float("nan"),
    "infinity": lambda: float("inf"),
}
"""Faults that are recorded where they happen."""
FAULTS = {**DEADLY, **HANGING, **UNUSUAL, **RAISING}


class Panic(BaseException):
    """An exception that is no `Exception`, such as pyo3 raises for a panic in Rust."""


class Faulty:
    """The square of x, but for some x a fault: each time, or the first time that this x is met.

    Args:
        fault: one of FAULTS, or "" for none.
        folder: in which a file is left for each fault that fired.
        once: only the first time.
    """

    def __init__(self, fault: str, folder: str, *, once: bool = False, one_in: int = 20) -> None:
        self.fault, self.folder, self.once, self.one_in = fault, folder, once, one_in

    def __call__(self, x: float) -> Any:
        if self.fault and self.faulty(x):
            marker = Path(self.folder, f"fired {x!r}")
            first = not marker.exists()
            with marker.open("a") as file:
                file.write("x")
            if first or not self.once:
                os.environ["FAULTY"] = self.folder
                return FAULTS[self.fault]()
        return x * x

    def faulty(self, x: float) -> bool:
        return int(abs(x) * 1e6) % self.one_in == 0


class Loud:
    """The square of x, with ten megabytes of words."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, x: float) -> float:
        for _ in range(100):
            print("word " * 20_000)
        with Path(self.folder, "fired").open("a") as file:
            file.write("x")
        return x * x
