"""Runs a sweep for a command: progress and messages on stderr, the result on stdout."""

import os
import sys
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import replace
from json import dumps
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

import optitrip
from optitrip.app.context import Options
from optitrip.app.run_sweep import run_sweep
from optitrip.cli.statuses import FAILURES, FINISHED, NO_ANSWER, RESUMABLE, SIGNALLED, exit_status
from optitrip.config.sweep import Sweep
from optitrip.core.observer import Observer, Observers
from optitrip.errors import InputError, Interrupted, NoAnswer, Stopped
from optitrip.output.outcome import Answer, Outcome
from optitrip.output.summary import location, summary
from optitrip.output.terminal import LiveLine, Messages, print_message
from optitrip.runtime.clock import Stopwatch
from optitrip.runtime.process import stop_signals
from optitrip.runtime.streams import hold_streams, stdout_to_stderr

STOPPING = "\nstopping once the running slices are done; Ctrl-C again stops at once\n"
ENDED = (
    "\nthe loss goes on in code that cannot be interrupted; optitrip ends with it. What was evaluated before is "
    "stored, and the same command resumes, with the loss in other processes\n"
)


def run(sweep: Sweep, options: Options, *, json: bool, quiet: bool) -> int:
    """Run a sweep and print its outcome; return the exit status, 1 if the objective was to be checked and is wrong."""
    stdout, errors = sys.stdout, Console(file=sys.stderr, highlight=False)
    live, shown = LiveLine(errors, sweep.spec.progress(sweep)), Shown(stdout, errors, checks=options.checks)
    # Not by way of `logging`, which the loss may have set up for itself.
    observer = Observer() if quiet else Observers(Messages(errors, "info", "warning"), live)
    # What the loss prints is not the result, so it goes to stderr.
    with stop_signals(STOPPING) as stop, stdout_to_stderr(stdout), ExitStack() as line:
        line.enter_context(live.show())

        def put_back() -> list[str]:
            hold_streams()
            return stop.put_back()

        def answered(outcome: Outcome, left: str) -> None:
            line.close()
            stop.interrupts()
            if not json:
                shown.answer(outcome)
            if left and not quiet:
                line.enter_context(shown.waiting(left))

        ways: dict[str, Any] = {"interrupt": stop.raise_in_main_thread, "end": end_at_once}
        options = replace(options, requested=lambda: stop.requested, put_back=put_back, answered=answered, **ways)
        try:
            outcome = run_sweep(sweep, options, observer, Stopwatch(optitrip.IMPORTED_AT))
            status = FINISHED if outcome.failures_allowed else FAILURES
            if options.checks and outcome.answer is not None:
                status = checked_status(outcome.answer, status)
        except (NoAnswer, Stopped, Interrupted) as error:
            if error.outcome is None:
                raise
            outcome, status = error.outcome, exit_status(error)
            status = SIGNALLED + stop.number if isinstance(error, Interrupted) and stop.number else status
    with options.own_state.restored():
        if json:
            print(dumps(outcome.to_json()), file=stdout)
        shown.rest(outcome, table=not json)
    return status


def end_at_once() -> None:
    """End this process, whose loss never returns."""
    with suppress(OSError):
        os.write(2, ENDED.encode())
    os._exit(RESUMABLE)


def checked_status(answer: Answer, status: int) -> int:
    """Return the exit status of a command that checks what the objective claims; raise InputError if it claims
    nothing."""
    if answer.contradiction is None:
        raise InputError(
            "there is nothing to check: the method computes no errors, which tell how far to trust the numeric "
            "gradient; remove errors = false"
        )
    return NO_ANSWER if answer.contradiction else status


class Shown:
    """Prints the result on stdout and messages on stderr, each once."""

    def __init__(self, stdout: TextIO, errors: Console, *, checks: bool) -> None:
        self._stdout, self._errors, self._checks = stdout, errors, checks
        self._width = Console(file=stdout).width if stdout.isatty() else 120
        self._message: str | None = None

    def answer(self, outcome: Outcome) -> None:
        """Print the table of the answer."""
        print(summary(outcome, self._width, checks=self._checks), file=self._stdout)
        self._print_message(outcome)
        self._stdout.flush()

    def waiting(self, left: str) -> AbstractContextManager[Any]:
        """Say what is left to do, on a terminal for as long as the context lasts."""
        if self._errors.is_terminal:
            return self._errors.status(Text(left), spinner="line")
        self._errors.print(Text(left))
        return nullcontext()

    def rest(self, outcome: Outcome, *, table: bool) -> None:
        """Print what has become known since."""
        if table and outcome.mlflow:
            print(location(outcome.mlflow), file=self._stdout)
        self._print_message(outcome)

    def _print_message(self, outcome: Outcome) -> None:
        if outcome.message and outcome.message != self._message:
            self._message = outcome.message
            print_message(self._errors, outcome.message.lstrip())
