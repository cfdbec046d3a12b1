"""Runs a sweep for a command: progress and messages on stderr, the result on stdout."""

import logging
import sys
from dataclasses import replace
from io import TextIOWrapper
from json import dumps
from typing import TextIO, cast

from rich.console import Console
from rich.text import Text

import optitrip
from optitrip.app.context import Options
from optitrip.app.run_sweep import run_sweep
from optitrip.cli.main import FAILURES, FINISHED, NO_ANSWER, exit_status
from optitrip.config.sweep import Sweep
from optitrip.core.observer import Observer
from optitrip.errors import Interrupted, NoAnswer, Stopped
from optitrip.output.outcome import Outcome
from optitrip.output.terminal import ConsoleHandler, LiveLine, log_to, summary
from optitrip.output.text import plain
from optitrip.runtime.clock import Stopwatch
from optitrip.runtime.process import stop_signals
from optitrip.runtime.streams import TolerantStream, stdout_to_stderr

STOPPING = "\nstopping once the running slices are done; Ctrl-C again stops at once\n"


def run(sweep: Sweep, options: Options, *, json: bool, quiet: bool) -> int:
    """Run a sweep and print its outcome; return the exit status."""
    stderr = TolerantStream(sys.stderr)
    errors = Console(file=cast("TextIO", stderr), highlight=False)
    live = LiveLine(errors, sweep.spec.progress(sweep))
    messages = logging.NullHandler() if quiet else ConsoleHandler(errors)
    # What the loss prints is not the result, so it goes to stderr.
    with stop_signals(STOPPING) as stop, live.show(), stdout_to_stderr(), log_to(messages):
        options = replace(options, raise_if_stopped=stop.raise_if_stopped)
        try:
            outcome = run_sweep(sweep, options, Observer() if quiet else live, Stopwatch(optitrip.IMPORTED_AT))
            status = FINISHED if outcome.failures_allowed else FAILURES
        except (NoAnswer, Stopped, Interrupted) as error:
            if error.outcome is None:
                raise
            outcome, status = error.outcome, exit_status(error)
    written = print_outcome(outcome, errors, json=json)
    stderr.flush()
    return status or (FINISHED if written else NO_ANSWER)


def print_outcome(outcome: Outcome, errors: Console, *, json: bool) -> bool:
    """Print the result on stdout and the message on stderr; return whether stdout could be written."""
    stdout = TolerantStream(sys.stdout)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # an escaped character is better than no table
    if json:
        print(dumps(outcome.to_json()), file=stdout)
    else:
        width = None if sys.stdout.isatty() else 120
        Console(file=cast("TextIO", stdout), highlight=False, width=width).print(summary(outcome))
    if outcome.message:
        errors.print(Text(plain(outcome.message.lstrip())), soft_wrap=True)
    stdout.flush()
    if stdout.error:
        reason = stdout.error.strerror
        text = f"the result could not be written to stdout ({reason}); it is stored in {outcome.state_dir}"
        errors.print(Text(plain(text)), soft_wrap=True)
    return stdout.error is None
