"""The command line: parse, call, print. Libraries are imported inside commands, so that `--help` is instant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from optitrip import IMPORTED_AT

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
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no messages.")] = False,
) -> None:
    """Run a sweep, or go on with it, or show its result."""
    from io import TextIOWrapper
    from json import dumps

    from rich.console import Console

    from optitrip.console import LiveLine, Silent, stdout_to_stderr, summary
    from optitrip.driver.phases import Phases
    from optitrip.launch import Options, launch
    from optitrip.signals import stop_signals
    from optitrip.spec import read

    said = list(overrides or [])
    said += [f"run.workers={workers}"] if workers is not None else []
    said += [f"run.executor={executor}"] if executor is not None else []
    said += ["objective.plain=true"] if plain else []
    spec = read(file, said)
    errors = Console(stderr=True, highlight=False)
    live = LiveLine(errors)
    # What the loss prints is no result, so it goes where messages go.
    with stop_signals(STOPPING) as stop, live.shown(), stdout_to_stderr():
        options = Options(state_dir, address, fresh, accept_changes, apart=True, heed=stop.heed)
        outcome = launch(spec, options, Silent() if quiet else live, Phases(IMPORTED_AT))
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a table with gaps is better than none
    if json:
        print(dumps(outcome.to_json()))
    else:
        Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(summary(outcome))
    if outcome.message:
        errors.print(outcome.message.lstrip(), markup=False, soft_wrap=True)
    raise typer.Exit(outcome.exit_status)


@app.command()
def check(file: SweepFile, overrides: Overrides = None, state_dir: StateRoot = Path(".optitrip")) -> None:
    """Validate a sweep file and print its plan; nothing that it names is imported."""
    from optitrip.base_point import located
    from optitrip.describe import description
    from optitrip.spec import read

    print(description(located(read(file, overrides or []), state_dir)))


@app.command()
def init(
    loss: Annotated[str, typer.Argument(metavar="MODULE:LOSS", help="A function or a class.", show_default=False)],
) -> None:
    """Write a commented sweep file for a loss, from its signature and defaults."""
    from optitrip.starter import write

    path = write(loss, Path.cwd())
    print(path.name)
    print(f"edit it, then: optitrip sweep {path.name}", file=sys.stderr)


@app.command()
def data(
    name: Annotated[str, typer.Argument(help="cifar10.", show_default=False)],
    folder: Annotated[Path, typer.Option(help="Where to put it.")] = Path("data"),
) -> None:
    """Fetch a data set from its official page and verify it."""
    from optitrip.errors import InputError, nearest
    from optitrip.fetching import cifar10

    if name != "cifar10":
        raise InputError(f"data was {name!r}; {nearest(name, ['cifar10'])}")
    print(cifar10(folder))


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="To listen on, at 127.0.0.1.")] = 5000,
) -> None:
    """Show the sweeps of this directory in MLflow's web page."""
    from optitrip.tracking.mlflow_ui import serve

    raise typer.Exit(serve(port))


def main() -> NoReturn:
    """The console script: exceptions become a message and an exit status."""
    from optitrip.errors import InputError

    try:
        app()
    except InputError as error:
        fail(str(error), 2)
    except KeyboardInterrupt:
        fail("interrupted", 130)
    raise SystemExit(0)


def fail(message: str, status: int) -> NoReturn:
    print(message, file=sys.stderr)
    raise SystemExit(status)
