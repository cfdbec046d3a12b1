"""The command line and its exit statuses. Libraries are imported inside commands, so that `--help` is instant."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn, TextIO

from typer import Argument, Exit, Option, Typer

from optitrip.cli import cluster, gradcheck, importance
from optitrip.cli.options import Overrides, SweepFile, Workers
from optitrip.cli.statuses import NO_ANSWER, RESUMABLE, exit_status
from optitrip.errors import InputError, OptitripError
from optitrip.store import STATE_ROOT

app = Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Evaluate a loss at very many points in parallel, and keep the one answer that matters.",
)

CLUSTER_DEFAULT = "RAY_ADDRESS, else a local Ray"
BEST_DEFAULT = "all to a file, 10 to the terminal"
MIRROR_HELP = "Copy the journal to a folder or bucket every minute and at the end, e.g. s3://name/folder."
RESTORE_HELP = "Begin from such a copy, if there is one yet; give it with --mirror from the first time on."
PLAIN_HELP = "Ignore batched and structured evaluation; call the loss once per item (for comparison)."

SweepName = Annotated[str, Argument(metavar="SWEEP", help="Sweep file, name, identity or MLflow run.")]
StateRoot = Annotated[Path, Option("--state-dir", metavar="DIR", help="Folder for journals and result files.")]
Executor = Annotated[str | None, Option(metavar="NAME", help="serial (no Ray), ray or auto.", show_default="auto")]
Address = Annotated[str | None, Option(metavar="HOST:PORT", help="Ray cluster to join.", show_default=CLUSTER_DEFAULT)]
AcceptChanges = Annotated[bool, Option("--accept-changes", help="Continue although code, data or libraries changed.")]
Trust = Annotated[bool, Option("--trust", help="Use a state directory that others could have planted.")]
Mirror = Annotated[str | None, Option(metavar="URI", help=MIRROR_HELP)]
Restore = Annotated[str | None, Option(metavar="URI", help=RESTORE_HELP)]
ShardNumber = Annotated[str | None, Option(metavar="I/N", help="Evaluate only shard I of N, to `merge` later.")]
Json = Annotated[bool, Option("--json", help="Print one JSON object instead of the table.")]
Quiet = Annotated[bool, Option("--quiet", help="Hide progress and messages.")]


@app.command()
def sweep(
    file: SweepFile,
    overrides: Overrides = None,
    workers: Workers = None,
    executor: Executor = None,
    address: Address = None,
    state_dir: StateRoot = STATE_ROOT,
    plain: Annotated[bool, Option("--plain", help=PLAIN_HELP)] = False,
    fresh: Annotated[bool, Option("--fresh", help="Move stored results aside and start over.")] = False,
    accept_changes: AcceptChanges = False,
    trust: Trust = False,
    shard: ShardNumber = None,
    mirror: Mirror = None,
    restore: Restore = None,
    retry_failed: Annotated[bool, Option("--retry-failed", help="Retry failed items once.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a sweep, resume it, or show its stored result."""
    from optitrip.app.context import Options
    from optitrip.cli.run import run
    from optitrip.store.lookup import read
    from optitrip.store.shards import Shard

    settings = list(overrides or [])
    settings += [f"run.workers={workers}"] if workers is not None else []
    settings += [f"run.executor={executor}"] if executor is not None else []
    settings += ["objective.plain=true"] if plain else []
    found = read(file, settings, state_dir)
    share = Shard.parse(shard) if shard is not None else None
    if share is not None:
        state_dir = share.state_root(state_dir)
    options = Options(state_dir, address, fresh, accept_changes, retry_failed, share, trust, mirror, restore, True)
    raise Exit(run(found, options, json=json, quiet=quiet))


@app.command()
def merge(
    folders: Annotated[list[Path], Argument(metavar="DIR...", help="State directories of all shards.")],
    state_dir: StateRoot = STATE_ROOT,
    accept_changes: AcceptChanges = False,
    trust: Trust = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Join the shards of a sweep, then finish the sweep."""
    from optitrip.app.context import Options
    from optitrip.cli.run import run
    from optitrip.store import shards

    def report(line: str) -> None:
        if not quiet:
            say(line, file=sys.stderr)

    merged = shards.merge(folders, state_dir, report, accept_changes=accept_changes, trust=trust)
    options = Options(state_dir, accept_changes=accept_changes, trust=trust, mlflow_process=True)
    raise Exit(run(merged, options, json=json, quiet=quiet))


@app.command()
def check(file: SweepFile, overrides: Overrides = None, state_dir: StateRoot = STATE_ROOT) -> None:
    """Validate a sweep file and print its plan; nothing is imported."""
    from optitrip.store.inspect import description
    from optitrip.store.lookup import read

    say(description(read(file, overrides or [], state_dir)))


@app.command()
def runs(
    state_dir: StateRoot = STATE_ROOT,
    json: Annotated[bool, Option("--json", help="Print a JSON list instead of the table.")] = False,
) -> None:
    """List the sweeps of this directory, with their state and best.

    Age is the time since the last result was stored."""
    from optitrip.cli.stored import list_sweeps, put_right

    list_sweeps(state_dir, json=json)
    put_right(state_dir)


@app.command()
def show(
    sweep: SweepName,
    failures: Annotated[bool, Option("--failures", help="List failed items by kind and index.")] = False,
    story: Annotated[bool, Option("--story", help="Show how the last run was scheduled: retries, splits.")] = False,
    follow: Annotated[bool, Option("--follow", "-f", help="Show how far it is, until it ends.")] = False,
    overrides: Overrides = None,
    state_dir: StateRoot = STATE_ROOT,
    json: Annotated[bool, Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Show what is stored for a sweep (safe while it is running)."""
    from json import dumps

    from optitrip.cli.stored import follow_sweep, put_right
    from optitrip.store import inspect
    from optitrip.store.lookup import find_stored_sweep
    from optitrip.tracking.secrets import without_password

    found = find_stored_sweep(sweep, state_dir, overrides or [])
    if follow:
        follow_sweep(*found)
    if json:
        print(dumps(inspect.table(*found, without_password)))
    elif story:
        say(*inspect.story_lines(found[1]))
    elif failures:
        say(*inspect.failure_lines(*found))
    else:
        say(*inspect.overview(*found, without_password))
    put_right(state_dir)


@app.command()
def sync(
    sweep: SweepName, overrides: Overrides = None, state_dir: StateRoot = STATE_ROOT, trust: Trust = False
) -> None:
    """Record a stored sweep in MLflow; nothing is evaluated."""
    from optitrip.app import sync

    run = sync.sync(sweep, state_dir, overrides or [], trust=trust)
    say(f"{run.tracking_uri}: experiment {run.experiment}, run {run.run_id}")


@app.command()
def table(
    sweep: SweepName,
    output: Annotated[Path | None, Option("--output", "-o", metavar="FILE", help=".csv or .parquet to write.")] = None,
    best: Annotated[int | None, Option(min=1, metavar="K", help="Only the best K.", show_default=BEST_DEFAULT)] = None,
    overrides: Overrides = None,
    state_dir: StateRoot = STATE_ROOT,
) -> None:
    """Write what is stored as a table; `replay` shows arrays."""
    from optitrip.app.table import check_file, stored_table, write_table
    from optitrip.cli.stored import terminal_width
    from optitrip.output.tables import text_lines
    from optitrip.store.lookup import find_stored_sweep

    if output is not None:
        check_file(output)
    found = find_stored_sweep(sweep, state_dir, overrides or [])
    if output is None:
        say(*text_lines(stored_table(*found, best or 10), terminal_width()))
    else:
        write_table(stored_table(*found, best), output)


@app.command()
def replay(
    sweep: SweepName,
    index: Annotated[int, Argument(metavar="INDEX", help="Index of the item, from 0.")],
    pdb: Annotated[bool, Option("--pdb", help="Open the debugger inside the loss.")] = False,
    overrides: Overrides = None,
    state_dir: StateRoot = STATE_ROOT,
    trust: Trust = False,
) -> None:
    """Evaluate one item again, and show what comes of it."""
    from optitrip.cli.replay import print_replay

    print_replay(sweep, index, overrides or [], state_dir, debug=pdb, trust=trust)


@app.command()
def init(loss: Annotated[str, Argument(metavar="MODULE:LOSS", help="Function or class.")]) -> None:
    """Write a commented sweep file for a loss, from its signature."""
    from optitrip.config.starter import write

    path = write(loss, Path.cwd())
    print(path.name)
    print(f"edit it, then run: optitrip sweep {path.name}", file=sys.stderr)


@app.command()
def data(
    name: Annotated[str, Argument(metavar="NAME", help="Data set: cifar10.")],
    folder: Annotated[Path, Option(metavar="DIR", help="Folder to store it in.")] = Path("data"),
) -> None:
    """Download a data set from its official page and verify it."""
    from optitrip.core.differences import nearest
    from optitrip.objectives.data.download import cifar10

    if name != "cifar10":
        raise InputError(f"data was {name!r}; {nearest(name, ['cifar10'])}")
    print(cifar10(folder))


@app.command()
def ui(
    port: Annotated[int, Option(min=1, max=65_535, metavar="PORT", help="Port on 127.0.0.1.")] = 5000,
    experiment: Annotated[
        str | None, Option(metavar="NAME", help="Experiment to show.", show_default="that of the latest sweep here")
    ] = None,
    state_dir: StateRoot = STATE_ROOT,
    no_open: Annotated[bool, Option("--no-open", help="Print the address only; do not open it in a browser.")] = False,
) -> None:
    """Show the sweeps of this directory in MLflow's web page."""
    from optitrip.tracking.ui_server import serve

    raise Exit(serve(port, state_dir, experiment, browser=not no_open))


cluster.add_to(app)
gradcheck.add_to(app)
importance.add_to(app)


def say(*lines: str, file: TextIO | None = None) -> None:
    """Print lines on stdout, or on another stream, with what is the user's in them made visible."""
    from optitrip.output.text import plain

    print(*map(plain, lines), sep="\n", file=file)


def say_error(text: str) -> None:
    """Print why a command ends on stderr, on a terminal folded at words."""
    from shutil import get_terminal_size

    from optitrip.output.text import word_wrapped

    say(word_wrapped(text, get_terminal_size().columns) if sys.stderr.isatty() else text, file=sys.stderr)


ABANDONED_SECONDS = 2.0
"""Seconds that a command waits at its end for a Ray that was started but not needed."""


def main() -> NoReturn:
    """Run the console script; turn exceptions into a message and an exit status."""
    from optitrip.runtime.background import LEFT, abandoned, await_abandoned, force_exit
    from optitrip.runtime.interrupts import signals_interrupt
    from optitrip.runtime.streams import steady_streams

    stdout = steady_streams()
    try:
        with signals_interrupt():
            app()
    except (OptitripError, KeyboardInterrupt) as error:
        say_error(str(error) or "interrupted")
        raise SystemExit(exit_status(error)) from None
    except SystemExit as end:
        stdout.flush()
        if stdout.error is not None:
            reason = stdout.error.strerror
            print(f"the output could not be written to stdout ({reason}); stored results are kept", file=sys.stderr)
            end.code = end.code or NO_ANSWER
        # A short wait for a Ray that was not needed is enough: on Linux its processes end with this one.
        if sys.platform == "linux":
            with suppress(KeyboardInterrupt):
                await_abandoned(ABANDONED_SECONDS)
        # Everything is closed; skip the normal exit, where Ray's libraries crash if their cluster is gone.
        if end.code == RESUMABLE or LEFT.is_set() or (abandoned() and sys.platform == "linux"):
            force_exit(end.code if isinstance(end.code, int) else 0)
        raise
    raise SystemExit(0)
