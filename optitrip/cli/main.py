"""The command line: parse, call, print. Libraries are imported inside commands, so that `--help` is instant."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TextIO, cast

import typer

from optitrip import IMPORTED_AT

if TYPE_CHECKING:
    from rich.console import Console

    from optitrip.app.options import Options
    from optitrip.config.sweep import Sweep
    from optitrip.output.outcome import Outcome

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Evaluate a loss at very many points, in parallel, and keep the one answer that matters.",
)

STOPPING = "\nstopping after the slices in hand; once more stops at once\n"

SweepFile = Annotated[Path, typer.Argument(metavar="FILE", help="A sweep file (TOML).", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the file; may be repeated.", show_default=False),
]

SweepName = Annotated[
    str, typer.Argument(metavar="SWEEP", help="Its file, name, identity or MLflow run.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no messages.")]
StateRoot = Annotated[Path, typer.Option("--state-dir", help="Where sweeps keep their journals and files.")]


@app.command()
def sweep(
    file: SweepFile,
    overrides: Overrides = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Slots to evaluate in.", show_default="one a CPU")] = None,
    executor: Annotated[str | None, typer.Option(help="auto, serial or ray.", show_default="auto")] = None,
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster to join.", show_default="RAY_ADDRESS, else a local Ray")
    ] = None,
    state_dir: StateRoot = Path(".optitrip"),
    plain: Annotated[
        bool, typer.Option("--plain", help="The plain call only, one item at a time: to see what batches are worth.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Set what is there aside and start over.")] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Go on although code, data or libraries changed.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(metavar="i/n", help="Only the i-th n-th of the items, for `merge`.", show_default=False),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try once more what failed.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a sweep, or go on with it, or show its result."""
    from optitrip.app.options import Options
    from optitrip.store.shards import Shard
    from optitrip.store.start_point import read

    said = list(overrides or [])
    said += [f"run.workers={workers}"] if workers is not None else []
    said += [f"run.executor={executor}"] if executor is not None else []
    said += ["objective.plain=true"] if plain else []
    spec = read(file, said, state_dir)
    share = Shard.parse(shard) if shard is not None else None
    if share is not None:
        state_dir = share.state_root(state_dir)
    options = Options(state_dir, address, fresh, accept_changes, retry_failed, share, apart=True)
    raise typer.Exit(run(spec, options, json=json, quiet=quiet))


def run(spec: Sweep, options: Options, *, json: bool, quiet: bool) -> int:
    """Run a sweep and show what came of it; return the exit status."""
    import logging
    from dataclasses import replace

    from rich.console import Console

    from optitrip.app.run_sweep import run_sweep
    from optitrip.cli import exit_status
    from optitrip.core.observer import Observer
    from optitrip.errors import Interrupted, NoAnswer, Stopped
    from optitrip.output.terminal import ConsoleHandler, LiveLine, log_to
    from optitrip.runtime.signals import stop_signals
    from optitrip.runtime.stopwatch import Stopwatch
    from optitrip.runtime.streams import TolerantStream, stdout_to_stderr

    said = TolerantStream(sys.stderr)
    errors = Console(file=cast("TextIO", said), highlight=False)
    live = LiveLine(errors, spec.spec.progress(spec))
    messages = logging.NullHandler() if quiet else ConsoleHandler(errors)
    # What the loss prints is no result, so it goes where messages go.
    with stop_signals(STOPPING) as stop, live.show(), stdout_to_stderr(), log_to(messages):
        options = replace(options, raise_if_stopped=stop.raise_if_stopped)
        try:
            outcome = run_sweep(spec, options, Observer() if quiet else live, Stopwatch(IMPORTED_AT))
            status = exit_status.of_outcome(outcome)
        except (NoAnswer, Stopped, Interrupted) as error:
            if error.outcome is None:
                raise
            outcome, status = error.outcome, exit_status.of_error(error)
    unwritten = print_outcome(outcome, errors, json=json)
    said.flush()
    return status or (1 if unwritten else 0)


def print_outcome(outcome: Outcome, errors: Console, *, json: bool) -> bool:
    """Print the result on stdout and what the user must know on stderr; return whether stdout could not be written."""
    from io import TextIOWrapper
    from json import dumps

    from rich.console import Console

    from optitrip.output.terminal import summary
    from optitrip.runtime.streams import TolerantStream

    shown = TolerantStream(sys.stdout)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a table with gaps is better than none
    if json:
        print(dumps(outcome.to_json()), file=shown)
    else:
        width = None if sys.stdout.isatty() else 120
        Console(file=cast("TextIO", shown), highlight=False, width=width).print(summary(outcome))
    if outcome.message:
        errors.print(outcome.message.lstrip(), markup=False, soft_wrap=True)
    shown.flush()
    if shown.error:
        errors.print(
            f"the result could not be written to stdout ({shown.error.strerror}); it is in {outcome.state_dir}"
        )
    return shown.error is not None


@app.command()
def merge(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="State directories of all shards.", show_default=False)
    ],
    state_dir: StateRoot = Path(".optitrip"),
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Join shards of other code, data or libraries.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Join the shards of a sweep, and run what comes after."""
    from optitrip.app.options import Options
    from optitrip.store import shards

    say: Callable[[str], None] = (lambda _: None) if quiet else partial(print, file=sys.stderr)
    spec = shards.merge(folders, state_dir, say, accept_changes=accept_changes)
    options = Options(state_dir, accept_changes=accept_changes, apart=True)
    raise typer.Exit(run(spec, options, json=json, quiet=quiet))


@app.command()
def check(file: SweepFile, overrides: Overrides = None, state_dir: StateRoot = Path(".optitrip")) -> None:
    """Validate a sweep file and print its plan; nothing that it names is imported."""
    from optitrip.config.describe import description
    from optitrip.store.start_point import read

    print(description(read(file, overrides or [], state_dir)))


@app.command()
def show(
    sweep: SweepName,
    failures: Annotated[bool, typer.Option("--failures", help="What failed, by kind and index.")] = False,
    story: Annotated[bool, typer.Option("--story", help="Who evaluated what when it last ran, and why.")] = False,
    overrides: Overrides = None,
    state_dir: StateRoot = Path(".optitrip"),
    json: Annotated[bool, typer.Option("--json", help="All of it, as one JSON object.")] = False,
) -> None:
    """Tell what is kept of a sweep; one that runs meanwhile is not disturbed."""
    from json import dumps

    from optitrip.store import inspect as ledger
    from optitrip.store.stored_sweep import kept

    found = kept(sweep, state_dir, overrides or [])
    if json:
        print(dumps(ledger.table(*found)))
        return
    words = ledger.story if story else ledger.failures if failures else ledger.listing
    for line in words(*found):
        print(line)


@app.command()
def replay(
    sweep: SweepName,
    index: Annotated[int, typer.Argument(help="Of the item, from 0.", show_default=False)],
    pdb: Annotated[bool, typer.Option("--pdb", help="Stand in the debugger inside the loss.")] = False,
    overrides: Overrides = None,
    state_dir: StateRoot = Path(".optitrip"),
) -> None:
    """Evaluate one item again in this process, and show what the loss returns or raises."""
    from optitrip.app.replay import replay
    from optitrip.store.stored_sweep import described

    found, folder = described(sweep, state_dir, overrides or [])
    print(repr(replay(found, index, print, folder, debug=pdb)))


@app.command()
def init(
    loss: Annotated[str, typer.Argument(metavar="MODULE:LOSS", help="A function or a class.", show_default=False)],
) -> None:
    """Write a commented sweep file for a loss, from its signature and defaults."""
    from optitrip.config.starter import write

    path = write(loss, Path.cwd())
    print(path.name)
    print(f"edit it, then: optitrip sweep {path.name}", file=sys.stderr)


@app.command()
def data(
    name: Annotated[str, typer.Argument(help="cifar10.", show_default=False)],
    folder: Annotated[Path, typer.Option(help="Where to put it.")] = Path("data"),
) -> None:
    """Fetch a data set from its official page and verify it."""
    from optitrip.core.suggest import nearest
    from optitrip.errors import InputError
    from optitrip.objectives.data.download import cifar10

    if name != "cifar10":
        raise InputError(f"data was {name!r}; {nearest(name, ['cifar10'])}")
    print(cifar10(folder))


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="To listen on, at 127.0.0.1.")] = 5000,
) -> None:
    """Show the sweeps of this directory in MLflow's web page."""
    from optitrip.tracking.ui_server import serve

    raise typer.Exit(serve(port))


ABANDONED_SECONDS = 2.0
"""Seconds that the end of a command waits for a Ray that was started and then not needed."""


def main() -> NoReturn:
    """Run the console script: exceptions become a message and an exit status."""
    from optitrip.cli import exit_status
    from optitrip.errors import OptitripError
    from optitrip.runtime.background import abandoned, await_abandoned

    try:
        app()
    except (OptitripError, KeyboardInterrupt) as error:
        print(str(error) or "interrupted", file=sys.stderr)
        raise SystemExit(exit_status.of_error(error)) from None
    except SystemExit as end:
        # For a Ray that was started and then not needed nobody waits long: Linux ends its processes with this one.
        if sys.platform == "linux":
            with suppress(KeyboardInterrupt):
                await_abandoned(ABANDONED_SECONDS)
        # All is closed; Ray's libraries crash at the end of a process whose cluster is gone.
        if end.code == exit_status.RESUMABLE or (abandoned() and sys.platform == "linux"):
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError):  # the reader may be gone
                    stream.flush()
            os._exit(end.code if isinstance(end.code, int) else 0)
        raise
    raise SystemExit(0)
