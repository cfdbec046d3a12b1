"""The command that compares a hand-written gradient with the numeric one."""

from pathlib import Path
from typing import Annotated

from typer import Exit, Option, Typer

from optitrip.cli.options import Overrides, SweepFile, Workers
from optitrip.store import STATE_ROOT

GRADIENT_HELP = "Gradient to check, or autograd for PyTorch's. By default the objective's own."


def add_to(app: Typer) -> None:
    """Add the command."""
    app.command()(gradcheck)


def gradcheck(
    file: SweepFile,
    gradient: Annotated[str | None, Option(metavar="MODULE:NAME", help=GRADIENT_HELP, show_default=False)] = None,
    overrides: Overrides = None,
    workers: Workers = None,
    state_dir: Annotated[Path, Option("--state-dir", metavar="DIR", help="Folder for journals.")] = STATE_ROOT,
    json: Annotated[bool, Option("--json", help="Print one JSON object instead of the table.")] = False,
    quiet: Annotated[bool, Option("--quiet", help="Hide progress and messages.")] = False,
) -> None:
    """Compare the objective's gradient with the numeric one.

    Exit status 1 if it is wrong."""
    from optitrip.app.context import Options
    from optitrip.cli.run import run
    from optitrip.store.lookup import read

    settings = list(overrides or [])
    settings += [f"objective.gradient={gradient}"] if gradient is not None else []
    settings += [f"run.workers={workers}"] if workers is not None else []
    sweep = read(file, settings, state_dir)
    raise Exit(run(sweep, Options(state_dir, checks=True, mlflow_process=True), json=json, quiet=quiet))
