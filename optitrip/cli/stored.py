"""Prints what is stored in a directory, for commands that run nothing."""

import sys
from contextlib import nullcontext
from json import dumps
from pathlib import Path
from shutil import get_terminal_size
from time import monotonic, sleep, time

from rich.console import Console
from rich.text import Text

from optitrip.cli.main import say
from optitrip.config.sweep import Sweep
from optitrip.output.terminal import PIPED_SECONDS
from optitrip.output.text import plain
from optitrip.store.follow import progress
from optitrip.store.runs import lines, stored_sweeps
from optitrip.tracking.location import tracking_uri
from optitrip.tracking.settle import settle

POLL_SECONDS = 1.0
"""Pause between two looks at a running sweep."""


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


def follow_sweep(sweep: Sweep, folder: Path) -> None:
    """Show how far a running sweep is until it ends, on a terminal as one line that changes."""
    console = Console(file=sys.stderr, highlight=False)
    shown, said = console.status("") if console.is_terminal else nullcontext(), -PIPED_SECONDS
    with shown as status:
        while (found := progress(sweep, folder, time())).state == "running":
            if status is not None:
                status.update(Text(plain(found.text)[: console.width - 2], no_wrap=True))
            elif monotonic() - said >= PIPED_SECONDS:
                said = monotonic()
                say(found.text, file=sys.stderr)
            sleep(POLL_SECONDS)


def put_right(root: Path) -> None:
    """Put right the MLflow runs of commands that were killed or could not reach MLflow, and say so on stderr."""
    sys.stdout.flush()  # what was asked for comes first
    if put := settle(root, tracking_uri()):
        say(*put, file=sys.stderr)
