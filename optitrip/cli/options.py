"""Arguments and options of commands that run a sweep, here or on a cluster."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

SweepFile = Annotated[Path, Argument(metavar="FILE", help="Sweep file (TOML).")]
Overrides = Annotated[
    list[str] | None, Option("--set", metavar="KEY=VALUE", help="Override a key of the sweep file; may be repeated.")
]
Workers = Annotated[int | None, Option(min=1, metavar="N", help="Number of workers.", show_default="one per CPU")]
