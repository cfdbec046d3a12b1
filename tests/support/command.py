"""The command `optitrip`, in this process or in one of its own.

A process takes two seconds to import what a sweep needs. It is worth them only where signals, terminals, closed pipes,
crashes or the start of the interpreter matter.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen, run
from typing import IO, Any, NoReturn

import pytest

from optitrip.cli import main as cli
from optitrip.runtime import background

ROOT = Path(__file__).parents[2]
# Under nohup a child would ignore SIGHUP, as this process does, and so would optitrip.
START = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); from optitrip.cli.main import main; main()"
OPTITRIP = [sys.executable, "-c", START]
"""The command as a process; a child that is still there when the tests end is killed by `process_guard`."""


def optitrip(folder: Path, *words: str, **environment: str) -> CompletedProcess[str]:
    """Run the command in this process, as if it were one of its own that stands in `folder`."""
    with pytest.MonkeyPatch.context() as patch, restored(), captured() as said:
        stand(patch, folder, environment)
        patch.setattr(sys, "argv", ["optitrip", *words])
        patch.setattr(os, "_exit", exit_of(os.getpid(), os._exit))
        # Ended by force, the command would end the Ray of the tests, and Ray, a minute later, the process of the tests.
        patch.setattr(background, "FORCED", [])
        patch.setattr("optitrip.IMPORTED_AT", time.perf_counter())
        # Source files that are written twice in a second would be taken for their own bytecode.
        patch.setattr(sys, "dont_write_bytecode", True)
        status = status_of_main()
    if status in INTERRUPTED:  # nobody sends signals to a command in this process: it was meant for the tests
        os.kill(os.getpid(), INTERRUPTED[status])
    return CompletedProcess(["optitrip", *words], status, said.out, said.err)


INTERRUPTED = {128 + number: number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}


def optitrip_process(
    folder: Path, *words: str, environment: Mapping[str, str] | None = None, **options: Any
) -> CompletedProcess[str]:
    """Run the command in a process of its own; `options` are those of `subprocess.run`."""
    given: dict[str, Any] = {"stdout": PIPE, "stderr": PIPE, "timeout": 600, "check": False, **options}
    return run([*OPTITRIP, *words], cwd=folder, text=True, env=surroundings(environment or {}), **given)


def start_optitrip(
    folder: Path, *words: str, environment: Mapping[str, str] | None = None, **options: Any
) -> Popen[str]:
    """Start the command in a process of its own, and do not wait for it; `options` are those of `subprocess.Popen`."""
    return Popen([*OPTITRIP, *words], cwd=folder, text=True, env=surroundings(environment or {}), **options)


def surroundings(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a command: runs are tracked in its folder, unless a test says otherwise."""
    return {**{name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}, **environment}


def stand(patch: pytest.MonkeyPatch, folder: Path, environment: Mapping[str, str]) -> None:
    """Have this process look as one that was started in `folder`."""
    patch.chdir(folder)
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name, value in environment.items():
        patch.setenv(name, value)


def status_of_main() -> int:
    """Call the console script; returns the exit status that the interpreter would end with."""
    try:
        cli.main()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
    except Exception as error:
        trace = error.__traceback__
        sys.excepthook(type(error), error, trace.tb_next if trace else None)  # without this function's own line
    return 1


def exit_of(process: int, leave: Any) -> Any:
    """A stand-in for `os._exit` that ends the command and not the tests; in a child of this process it is the real."""

    def end(status: int) -> NoReturn:
        if os.getpid() != process:
            leave(status)
        raise SystemExit(status)

    return end


@contextmanager
def restored() -> Generator[None]:
    """Undo what a command does to its process and a process would take along: imports, hooks, handlers of messages."""
    path, before, modules, hook = sys.path, list(sys.path), set(sys.modules), sys.excepthook
    messages = logging.getLogger("optitrip")
    handlers, level, propagate = list(messages.handlers), messages.level, messages.propagate
    try:
        yield
    finally:
        added = [folder for folder in path if folder not in before]
        sys.path, sys.path[:], sys.excepthook = path, before, hook
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None)
            if file and any(Path(file).is_relative_to(folder) for folder in added):
                del sys.modules[name]
        messages.handlers[:], messages.level, messages.propagate = handlers, level, propagate


@dataclass
class Said:
    """The text that was written to stdout and stderr, once the command has ended."""

    out: str = ""
    err: str = ""


@contextmanager
def captured() -> Generator[Said]:
    """Capture stdout and stderr, with what child processes and C code write there."""
    said, streams, kept = Said(), (sys.stdout, sys.stderr), (os.dup(1), os.dup(2))
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        for number, stream, file in zip((1, 2), streams, (out, err), strict=True):
            stream.flush()
            os.dup2(file.fileno(), number)
        try:
            with (
                open(1, "w", encoding="utf-8", closefd=False) as sys.stdout,
                open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False) as sys.stderr,
            ):
                yield said
        finally:
            sys.stdout, sys.stderr = streams
            for number, descriptor in zip((1, 2), kept, strict=True):
                os.dup2(descriptor, number)
                os.close(descriptor)
            said.out, said.err = text(out), text(err)


def text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()
