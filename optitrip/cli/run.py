"""Runs a sweep for a command: progress and messages on stderr, the result on stdout."""

import sys
from dataclasses import replace
from json import dumps
from typing import TextIO

from rich.console import Console
from rich.text import Text

import optitrip
from optitrip.app.context import Options
from optitrip.app.run_sweep import run_sweep
from optitrip.cli.main import FAILURES, FINISHED, exit_status
from optitrip.config.sweep import Sweep
from optitrip.core.observer import Observer, Observers
from optitrip.errors import Interrupted, NoAnswer, Stopped
from optitrip.output.outcome import Outcome
from optitrip.output.summary import summary
from optitrip.output.terminal import LiveLine, Messages
from optitrip.output.text import plain
from optitrip.runtime.clock import Stopwatch
from optitrip.runtime.process import stop_signals
from optitrip.runtime.streams import hold_streams, stdout_to_stderr

STOPPING = "\nstopping once the running slices are done; Ctrl-C again stops at once\n"


def run(sweep: Sweep, options: Options, *, json: bool, quiet: bool) -> int:
    """Run a sweep and print its outcome; return the exit status."""
    stdout, errors = sys.stdout, Console(file=sys.stderr, highlight=False)
    live = LiveLine(errors, sweep.spec.progress(sweep))
    # Not by way of `logging`, which the loss may have set up for itself.
    observer = Observer() if quiet else Observers(Messages(errors, "info", "warning"), live)
    # What the loss prints is not the result, so it goes to stderr.
    with stop_signals(STOPPING) as stop, stdout_to_stderr(stdout), live.show():

        def put_back() -> list[str]:
            hold_streams()
            return stop.put_back()

        options = replace(options, raise_if_stopped=stop.raise_if_stopped, put_back=put_back)
        try:
            outcome = run_sweep(sweep, options, observer, Stopwatch(optitrip.IMPORTED_AT))
            status = FINISHED if outcome.failures_allowed else FAILURES
        except (NoAnswer, Stopped, Interrupted) as error:
            if error.outcome is None:
                raise
            outcome, status = error.outcome, exit_status(error)
    with options.own_state.restored():
        print_outcome(outcome, stdout, errors, json=json)
    return status


def print_outcome(outcome: Outcome, stdout: TextIO, errors: Console, *, json: bool) -> None:
    """Print the result on stdout and the message on stderr."""
    if json:
        print(dumps(outcome.to_json()), file=stdout)
    else:
        width = Console(file=stdout).width if stdout.isatty() else 120
        print(summary(outcome, width), file=stdout)
    if outcome.message:
        errors.print(Text(plain(outcome.message.lstrip())), soft_wrap=True)
