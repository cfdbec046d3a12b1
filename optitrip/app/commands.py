"""Counts the time that all commands of a sweep took."""

from contextlib import suppress
from dataclasses import replace

from optitrip.app.context import Context
from optitrip.errors import Stopped
from optitrip.journal.facts import Commands
from optitrip.output.outcome import Outcome
from optitrip.runtime.clock import SYSTEM
from optitrip.store.state_dir import StateDir


def begun(context: Context, state: StateDir) -> Commands:
    """Store that a command has begun, unless it only shows a stored result; return the time of those before it."""
    start = SYSTEM.wall_ms() - round(1000 * context.phases.total)
    before = state.journal.fact(Commands)
    commands = before or Commands(start, None, 0.0)
    if commands.began is not None:  # that command was killed
        last = max(state.journal.last_write() or 0, commands.began)
        commands = replace(commands, seconds=commands.seconds + (last - commands.began) / 1000)
    commands = replace(commands, began=None if context.options.has_result(context.sweep) else start)
    if commands != before:
        with suppress(Stopped):  # nothing can be written, and there is a result to show
            state.journal.note(commands)
    return commands


def ended(context: Context, state: StateDir, commands: Commands, outcome: Outcome) -> Outcome:
    """Store that this command has its answer; return the outcome with the times of all commands."""
    total = commands.seconds
    if commands.began is not None or outcome.evaluated:
        total += context.phases.total
        with suppress(Stopped):  # its time is then missing
            state.journal.note(Commands(commands.started, None, total))
    return replace(outcome, total_seconds=total, ended=SYSTEM.wall_ms())
