"""Where user code may raise, everything is caught, and interruptions are let through."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import optitrip

PACKAGE = Path(optitrip.__file__).parent
CALL_USER_CODE = ("loss/", "methods/", "executors/serial.py", "executors/ray/actor.py", "app/load", "app/replay")
NARROW = {"loss/returns.py"}
"""Files with a handler inside of one that catches everything."""
ENDS = {
    "api/stepping.py",  # raises again in the thread of the loop
    "app/run_sweep.py",  # ends the sweep, and raises again
    "cli/main.py",
    "executors/isolated/worker.py",  # no Ctrl-C reaches the loss of a process of its own
    "executors/ray/actor.py",  # nor that of a worker
    "runtime/background.py",  # raises again where the result is asked for
}
"""Files with a handler that need not tell an interruption from a failure."""


@cache
def handlers() -> list[tuple[str, str, str]]:
    """Every handler of exceptions: its file, what it catches, and its source."""
    found: list[tuple[str, str, str]] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "BaseException"
                found.append((path.relative_to(PACKAGE).as_posix(), caught, ast.get_source_segment(text, node) or ""))
    return found


def test_user_code_may_raise_anything() -> None:
    """An `except Exception` would let a Rust panic end the sweep."""
    assert {
        file for file, caught, _ in handlers() if file.startswith(CALL_USER_CODE) and caught == "Exception"
    } == NARROW
    assert not [file for file, caught, _ in handlers() if "Exception, " in caught]


def test_interruptions_are_let_through() -> None:
    """Whoever catches everything asks `failure`, or raises again."""
    for file, caught, source in handlers():
        if "BaseException" in caught and file not in ENDS:
            assert "failure(" in source or "interrupt(" in source or source.rstrip().endswith("raise"), (file, source)
