"""The plan of a sweep in words, for `optitrip check`."""

from __future__ import annotations

from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

from optitrip.config.sweep import Sweep
from optitrip.runtime.imports import import_paths


def description(sweep: Sweep) -> str:
    """Return lines of plain text; nothing is imported for them."""
    table = sweep.objective
    module, _, attribute = table.reference.partition(":")
    drawn = sum(sweep.space.sizes.values()) if sweep.spec.drawn(sweep.method) else 0
    variables = len(sweep.space.variables)
    lines = [
        f"{sweep.label}: a valid sweep",
        f"  {sweep.spec.describe(sweep)}",
        f"  imports {module} for {attribute}, {place(module, sweep.folder)}",
        *(f"    {name} = {value!r}" for name, value in table.arguments.items()),
        f"  {variables} variables, {drawn:,} random numbers per candidate ({8 * drawn:,} bytes):",
    ]
    for variable in sweep.space.variables:
        fields = variable.describe()
        distribution = f" {variable.word} {fields[variable.word]}" if variable.word else ""
        shape = f" of shape {list(variable.shape)}" if variable.shape else ""
        lines.append(f"    {variable.name}:{distribution}{shape}, {variable.dtype}")
    workers = sweep.run.workers or "one per CPU"
    lines += [
        f"  executor {sweep.run.executor}, workers: {workers}; tracking: {sweep.tracking.use}",
        "  not checked yet: whether the objective can be imported and takes these arguments and parameters,",
        "    whether it is batched, its block, its data, and how long a candidate takes",
    ]
    return "\n".join(lines)


def place(module: str, folder: Path) -> str:
    """Say where the top-level package of a module is found, without importing it."""
    top = module.partition(".")[0]
    for path in import_paths(folder):
        if PathFinder.find_spec(top, [path]) is not None:
            return f"found in {path}"
    return "from the installed packages" if find_spec(top) is not None else "which is NOT FOUND"
