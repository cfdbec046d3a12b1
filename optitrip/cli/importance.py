"""The command that ranks variables by what they explain of the loss."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option, Typer

from optitrip.cli.options import Overrides
from optitrip.store import STATE_ROOT


def add_to(app: Typer) -> None:
    """Add the command."""
    app.command()(importance)


def importance(
    sweep: Annotated[str, Argument(metavar="SWEEP", help="Sweep file, name, identity or MLflow run.")],
    overrides: Overrides = None,
    state_dir: Annotated[Path, Option("--state-dir", metavar="DIR", help="Folder for journals.")] = STATE_ROOT,
    json: Annotated[bool, Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Rank variables by how much of the loss each explains.

    Nothing is evaluated, and a search need not be finished."""
    from json import dumps

    from optitrip.app.importance import lines, stored_importance, to_json
    from optitrip.cli.main import say
    from optitrip.store.lookup import find_stored_sweep

    found = find_stored_sweep(sweep, state_dir, overrides or [])
    ranked = stored_importance(*found)
    if json:
        print(dumps(to_json(found[0], ranked)))
    else:
        say(*lines(found[0], ranked))
