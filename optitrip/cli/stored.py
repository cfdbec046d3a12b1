"""Prints what is stored in a directory, for commands that run nothing."""

import sys
from json import dumps
from pathlib import Path
from shutil import get_terminal_size
from time import time

from optitrip.cli.main import say
from optitrip.store.runs import lines, stored_sweeps
from optitrip.tracking.location import tracking_uri
from optitrip.tracking.settle import settle


def list_sweeps(root: Path, *, json: bool) -> None:
    """Print a table of the sweeps in a folder of state directories, or a JSON list."""
    found = stored_sweeps(root)
    if json:
        print(dumps([sweep.to_json() for sweep in found]))
    else:
        say(*(lines(found, time(), terminal_width()) if found else [f"there are no sweeps in {root}"]))


def terminal_width() -> int | None:
    """Return the number of columns of the terminal; None if stdout is none."""
    return get_terminal_size().columns if sys.stdout.isatty() else None


def put_right(root: Path) -> None:
    """Put right the MLflow runs of commands that were killed or could not reach MLflow, and say so on stderr."""
    sys.stdout.flush()  # what was asked for comes first
    if put := settle(root, tracking_uri()):
        say(*put, file=sys.stderr)
