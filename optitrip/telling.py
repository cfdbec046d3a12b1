"""An outcome in words and figures, for people and for MLflow."""

from __future__ import annotations

import reprlib
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np

from optitrip.driver import files
from optitrip.driver.outcome import Outcome
from optitrip.methods.draws import Draws
from optitrip.part import Array, Failures

SHOWN_ENTRIES = 8


def figures(answer: Outcome) -> dict[str, float]:
    """The end figures for MLflow."""
    table = {f"report/{name}": value for name, value in answer.report.items()}
    table |= {f"phase/{name}": seconds for name, seconds in answer.phases.items()}
    table |= {"failed": float(answer.failed), "seconds": answer.seconds}
    if answer.items_per_second is not None:
        table["items_per_second"] = answer.items_per_second
    return {name: value for name, value in table.items() if np.isfinite(value)}


def note(answer: Outcome, overrides: Sequence[str] = ()) -> str:
    """The description of the run's page, in Markdown."""
    if answer.status != "finished":
        return answer.message or answer.status
    lines = [f"**{answer.name}**: {answer.items:,} candidates, {answer.failed:,} failed", "", "| | |", "|---|---|"]
    if answer.best:
        lines.append(f"| smallest loss | {answer.best.loss:.8g} at candidate {answer.best.index:,} |")
        lines += [f"| {name} | `{show(values[0])}` |" for name, values in answer.best.values.items()]
    lines += [f"| {name.replace('_', ' ')} | {value:.6g} |" for name, value in answer.report.items()]
    command = " ".join(["optitrip sweep", files.SWEEP_FILE, *(f"--set {shlex.quote(one)}" for one in overrides)])
    lines += ["", f"The same answer again: `{command}`, with the file from the artifacts."]
    return "\n".join(lines)


def told(failures: Failures | None, draws: Draws, candidate: int | None = None, what: str = "") -> str:
    """The first failure as it was raised, with the candidate's parameters; empty without one.

    Where the items of a stage are no candidates, `candidate` says which it was and `what` of it failed.
    """
    first = failures.first() if failures else None
    if first is None:
        return ""
    kind, record = first
    index = record.index if candidate is None else candidate
    parameters = "\n".join(f"  {name} = {show(values[0])}" for name, values in draws.point(index).items())
    said = record.traceback.rstrip() or record.message
    return f"\ncandidate {index} ({f'{what} ' if what else ''}{kind}), with\n{parameters}\n{said}"


def show(value: Any) -> str:
    """A value for a reader, in a line or two."""
    if isinstance(value, np.ndarray) and value.ndim:
        array: Array = value
        if array.size > SHOWN_ENTRIES and array.dtype.kind in "fiu":
            return f"array of shape {array.shape}, from {array.min():.4g} to {array.max():.4g}"
        return np.array2string(array, threshold=SHOWN_ENTRIES, edgeitems=2).replace("\n", "")
    return reprlib.repr(value.item() if isinstance(value, np.generic | np.ndarray) else value)
