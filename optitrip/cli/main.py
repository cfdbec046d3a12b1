"""The command line: parse, call, print. Commands import their libraries themselves, so that `--help` is instant."""

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
    help="Evaluate a loss at very many points in parallel, and keep the one answer that matters.",
)

STOPPING = "\nstopping once the running slices are done; Ctrl-C again stops at once\n"
STATE_ROOT = Path(".optitrip")

SweepFile = Annotated[Path, typer.Argument(metavar="FILE", help="Sweep file (TOML).", show_default=False)]
SweepName = Annotated[
    str, typer.Argument(metavar="SWEEP", help="Sweep file, name, identity or MLflow run.", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a key of the sweep file. Repeatable.", show_default=False
    ),
]
StateRoot = Annotated[
    Path, typer.Option("--state-dir", metavar="DIR", help="Folder for journals and result files, one per sweep.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Hide progress and messages.")]


@app.command()
def sweep(
    file: SweepFile,
    overrides: Overrides = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Number of workers.", show_default="one per CPU")
    ] = None,
    executor: Annotated[
        str | None, typer.Option(metavar="NAME", help="serial (this process), ray, or auto.", show_default="auto")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Ray cluster to join.", show_default="RAY_ADDRESS, else a local Ray"),
    ] = None,
    state_dir: StateRoot = STATE_ROOT,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain",
            help="Ignore batched and structured evaluation; call the loss once per item (for comparison).",
        ),
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Move stored results aside and start over.")] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Resume although code, data or libraries have changed.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Evaluate only shard I of N; join them with `merge`.", show_default=False),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Retry failed items once.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a sweep, resume it, or show its stored result."""
    from optitrip.app.options import Options
    from optitrip.store.shards import Shard
    from optitrip.store.start_point import read

    settings = list(overrides or [])
    settings += [f"run.workers={workers}"] if workers is not None else []
    settings += [f"run.executor={executor}"] if executor is not None else []
    settings += ["objective.plain=true"] if plain else []
    found = read(file, settings, state_dir)
    share = Shard.parse(shard) if shard is not None else None
    if share is not None:
        state_dir = share.state_root(state_dir)
    options = Options(state_dir, address, fresh, accept_changes, retry_failed, share, mlflow_process=True)
    raise typer.Exit(run(found, options, json=json, quiet=quiet))


def run(sweep: Sweep, options: Options, *, json: bool, quiet: bool) -> int:
    """Run a sweep and print its outcome; return the exit status."""
    import logging
    from dataclasses import replace

    from rich.console import Console

    from optitrip.app.run_sweep import run_sweep
    from optitrip.cli import exit_status
    from optitrip.core.observer import Observer
    from optitrip.errors import Interrupted, NoAnswer, Stopped
    from optitrip.output.terminal import ConsoleHandler, LiveLine, logged_to
    from optitrip.runtime.signals import stop_signals
    from optitrip.runtime.stopwatch import Stopwatch
    from optitrip.runtime.streams import TolerantStream, stdout_to_stderr

    stderr = TolerantStream(sys.stderr)
    errors = Console(file=cast("TextIO", stderr), highlight=False)
    live = LiveLine(errors, sweep.spec.progress(sweep))
    messages = logging.NullHandler() if quiet else ConsoleHandler(errors)
    # The loss's own prints are no result, so they go where messages go.
    with stop_signals(STOPPING) as stop, live.shown(), stdout_to_stderr(), logged_to(messages):
        options = replace(options, raise_if_stopped=stop.raise_if_stopped)
        try:
            outcome = run_sweep(sweep, options, Observer() if quiet else live, Stopwatch(IMPORTED_AT))
            status = exit_status.of_outcome(outcome)
        except (NoAnswer, Stopped, Interrupted) as error:
            if error.outcome is None:
                raise
            outcome, status = error.outcome, exit_status.of_error(error)
    written = print_outcome(outcome, errors, json=json)
    stderr.flush()
    return status or (0 if written else 1)


def print_outcome(outcome: Outcome, errors: Console, *, json: bool) -> bool:
    """Print the result on stdout and the message on stderr; return whether stdout could be written."""
    from io import TextIOWrapper
    from json import dumps

    from rich.console import Console

    from optitrip.output.terminal import summary
    from optitrip.runtime.streams import TolerantStream

    stdout = TolerantStream(sys.stdout)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a table with gaps is better than none
    if json:
        print(dumps(outcome.to_json()), file=stdout)
    else:
        width = None if sys.stdout.isatty() else 120
        Console(file=cast("TextIO", stdout), highlight=False, width=width).print(summary(outcome))
    if outcome.message:
        errors.print(outcome.message.lstrip(), markup=False, soft_wrap=True)
    stdout.flush()
    if stdout.error:
        reason = stdout.error.strerror
        errors.print(f"the result could not be written to stdout ({reason}); it is stored in {outcome.state_dir}")
    return stdout.error is None


@app.command()
def merge(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="State directories of all shards.", show_default=False)
    ],
    state_dir: StateRoot = STATE_ROOT,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Join shards although their code, data or libraries differ.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Join the shards of a sweep, then finish the sweep."""
    from optitrip.app.options import Options
    from optitrip.store import shards

    report: Callable[[str], None] = (lambda _: None) if quiet else partial(print, file=sys.stderr)
    merged = shards.merge(folders, state_dir, report, accept_changes=accept_changes)
    options = Options(state_dir, accept_changes=accept_changes, mlflow_process=True)
    raise typer.Exit(run(merged, options, json=json, quiet=quiet))


@app.command()
def check(file: SweepFile, overrides: Overrides = None, state_dir: StateRoot = STATE_ROOT) -> None:
    """Validate a sweep file and print its plan; nothing is imported."""
    from optitrip.config.describe import description
    from optitrip.store.start_point import read

    print(description(read(file, overrides or [], state_dir)))


@app.command()
def show(
    sweep: SweepName,
    failures: Annotated[bool, typer.Option("--failures", help="List failed items by kind and index.")] = False,
    story: Annotated[
        bool, typer.Option("--story", help="Show how the last run was scheduled: workers, retries, splits.")
    ] = False,
    overrides: Overrides = None,
    state_dir: StateRoot = STATE_ROOT,
    json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Show what is stored for a sweep (safe while it is running)."""
    from json import dumps

    from optitrip.store import inspect
    from optitrip.store.stored_sweep import kept

    stored = kept(sweep, state_dir, overrides or [])
    if json:
        print(dumps(inspect.table(*stored)))
        return
    report = inspect.story if story else inspect.failures if failures else inspect.listing
    for line in report(*stored):
        print(line)


@app.command()
def replay(
    sweep: SweepName,
    index: Annotated[int, typer.Argument(metavar="INDEX", help="Index of the item, from 0.", show_default=False)],
    pdb: Annotated[bool, typer.Option("--pdb", help="Open the debugger inside the loss.")] = False,
    overrides: Overrides = None,
    state_dir: StateRoot = STATE_ROOT,
) -> None:
    """Evaluate one item again, and show what the loss returns or raises."""
    from optitrip.app.replay import replay
    from optitrip.store.stored_sweep import described

    stored, folder = described(sweep, state_dir, overrides or [])
    print(repr(replay(stored, index, print, folder, debug=pdb)))


@app.command()
def init(
    loss: Annotated[str, typer.Argument(metavar="MODULE:LOSS", help="Function or class.", show_default=False)],
) -> None:
    """Write a commented sweep file for a loss, from its signature."""
    from optitrip.config.starter import write

    path = write(loss, Path.cwd())
    print(path.name)
    print(f"edit it, then run: optitrip sweep {path.name}", file=sys.stderr)


@app.command()
def data(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Data set: cifar10.", show_default=False)],
    folder: Annotated[Path, typer.Option(metavar="DIR", help="Folder to store it in.")] = Path("data"),
) -> None:
    """Download a data set from its official page and verify it."""
    from optitrip.core.suggest import nearest
    from optitrip.errors import InputError
    from optitrip.objectives.data.download import cifar10

    if name != "cifar10":
        raise InputError(f"data was {name!r}; {nearest(name, ['cifar10'])}")
    print(cifar10(folder))


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65_535, metavar="PORT", help="Port on 127.0.0.1.")] = 5000,
) -> None:
    """Show the sweeps of this directory in MLflow's web page."""
    from optitrip.tracking.ui_server import serve

    raise typer.Exit(serve(port))


ABANDONED_SECONDS = 2.0
"""Seconds that the end of a command waits for a Ray that was started and then not needed."""


def main() -> NoReturn:
    """Run the console script; turn exceptions into a message and an exit status."""
    from optitrip.cli import exit_status
    from optitrip.errors import OptitripError
    from optitrip.runtime.background import abandoned, await_abandoned

    try:
        app()
    except (OptitripError, KeyboardInterrupt) as error:
        print(str(error) or "interrupted", file=sys.stderr)
        raise SystemExit(exit_status.of_error(error)) from None
    except SystemExit as end:
        # A Ray that was started and then not needed is not waited for long: Linux ends its processes with this one.
        if sys.platform == "linux":
            with suppress(KeyboardInterrupt):
                await_abandoned(ABANDONED_SECONDS)
        # Everything is closed; Ray's libraries crash at the end of a process whose cluster is gone.
        if end.code == exit_status.RESUMABLE or (abandoned() and sys.platform == "linux"):
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError):  # the reader may be gone
                    stream.flush()
            os._exit(end.code if isinstance(end.code, int) else 0)
        raise
    raise SystemExit(0)
