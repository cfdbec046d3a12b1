"""What `optitrip check` says of a sweep: its plan, and what cannot be known before loading."""

from __future__ import annotations

import math
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

from optitrip.config.sweep import Sweep
from optitrip.runtime.imports import import_paths


def description(sweep: Sweep) -> str:
    """Lines of plain text."""
    table = sweep.objective
    module, _, attribute = table.reference.partition(":")
    drawn = sweep.space.row_size if sweep.spec.drawn(sweep.method) else 0
    lines = [
        f"{sweep.label}: a valid sweep",
        f"  {sweep.spec.describe(sweep)}",
        f"  imports {module} for {attribute}, {place(module, sweep.folder)}",
    ]
    lines += [f"    {name} = {value!r}" for name, value in table.arguments.items()]
    lines.append(f"  {len(sweep.space.variables)} variables, {drawn:,} numbers drawn a candidate ({size(8 * drawn)}):")
    for variable in sweep.space.variables:
        described = variable.describe()
        shape = f" of shape {list(variable.shape)}" if variable.shape else ""
        drawn_from = f" {variable.word} {described[variable.word]}" if variable.word else ""
        lines.append(f"    {variable.name}:{drawn_from}{shape}, {variable.dtype}")
    workers = sweep.run.workers or "one a CPU"
    lines += [
        f"  executor {sweep.run.executor}, workers: {workers}; tracking: {sweep.tracking.use}",
        "  known only after loading: whether the objective can be imported and takes these arguments and parameters,",
        "    whether it takes batches, its block, its data, and how long a candidate takes",
    ]
    return "\n".join(lines)


def place(module: str, folder: Path) -> str:
    """Where the top-level package of a module is, found without importing it."""
    top = module.partition(".")[0]
    for path in import_paths(folder):
        if PathFinder.find_spec(top, [path]) is not None:
            return f"found in {path}"
    return "from the installed packages" if find_spec(top) is not None else "which is NOT FOUND"


def size(count: float) -> str:
    """Bytes for a reader."""
    power = min(int(math.log(max(count, 1), 1024)), 4)
    return f"{count / 1024**power:.3g} {['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}"
