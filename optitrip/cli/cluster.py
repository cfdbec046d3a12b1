"""The commands for a Ray cluster that this machine need not belong to."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option, Typer

from optitrip.cli.options import Overrides, SweepFile, Workers

Head = Annotated[str, Option(metavar="URL", help="Dashboard of the cluster's head, e.g. http://10.0.0.1:8265.")]
RemoteRoot = Annotated[
    str | None,
    Option("--state-dir", metavar="DIR", help="Folder for journals and result files, as the cluster's nodes see it."),
]
MORE_HELP = "Further options of `optitrip sweep`, e.g. -- --accept-changes."


def add_to(app: Typer) -> None:
    """Add the commands."""
    app.command()(submit)
    app.command()(fetch)


def submit(
    file: SweepFile,
    address: Head,
    options: Annotated[list[str] | None, Argument(metavar="[-- OPTIONS]", help=MORE_HELP)] = None,
    overrides: Overrides = None,
    workers: Workers = None,
    state_dir: RemoteRoot = None,
    follow: Annotated[
        bool, Option("--follow", help="Show what the job prints and end as it does; it may run already.")
    ] = False,
) -> None:
    """Run a sweep as a job of a Ray cluster, or resume it there. Prints the job's id."""
    from optitrip.cli.jobs import run_submit

    settings = [*(overrides or []), *([f"run.workers={workers}"] if workers is not None else [])]
    raise Exit(run_submit(file, settings, options or [], address, state_dir, follow=follow))


def fetch(
    sweep: Annotated[str, Argument(metavar="SWEEP", help="Sweep file, name, identity, or job.")],
    address: Head,
    output: Annotated[
        Path | None, Option("--output", "-o", metavar="DIR", help="Folder to write to.", show_default="NAME-IDENTITY")
    ] = None,
    state_dir: RemoteRoot = None,
) -> None:
    """Copy the result files of a sweep from a Ray cluster."""
    from optitrip.cli.jobs import run_fetch

    run_fetch(sweep, address, state_dir, output)
