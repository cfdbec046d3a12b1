"""Evaluates one item again for a command, and prints what the loss returns or raises."""

import sys
from collections.abc import Sequence
from pathlib import Path

from typer import Exit

from optitrip.app.replay import replay
from optitrip.cli.main import NO_ANSWER, say
from optitrip.errors import OptitripError
from optitrip.runtime.interrupts import failure
from optitrip.runtime.tracebacks import text_of, trace_of
from optitrip.store.lookup import find_sweep
from optitrip.store.state_dir import check_trusted


def print_replay(
    sweep: str, index: int, overrides: Sequence[str], state_dir: Path, *, debug: bool, trust: bool
) -> None:
    """Print what the loss returns on stdout, or what it raises on stderr, with the exit status of no answer."""
    found, folder = find_sweep(sweep, state_dir.absolute(), overrides)
    if folder is not None and not trust:
        check_trusted(folder)
    try:
        returned = repr(replay(found, index, say, folder, debug=debug))
    except OptitripError:
        raise
    except BaseException as error:  # shown here, since Typer would show only some of what a loss may raise
        say(text_of(failure(error), trace_of(error)).rstrip(), file=sys.stderr)
        raise Exit(NO_ANSWER) from None
    say(returned)
