"""Keeps the folder of the best run of a program with the files of the answer."""

from pathlib import Path

from optitrip.app.context import Context
from optitrip.core.notice import info
from optitrip.loss.program.program import Program
from optitrip.loss.rung import innermost
from optitrip.output.outcome import Answer
from optitrip.store.state_dir import best_run

LOST = (
    "the folder of the best run is not here: it ran on another machine, or before `keep` was set, or it is the best by "
    "the mean of several runs; `optitrip replay` runs it again"
)


def keep_best_run(context: Context, answer: Answer, folder: Path) -> None:
    """Move the folder of the run with the answer's parameters into a folder, if it was kept; say so if it is lost."""
    program, x = innermost(context.objective.loss), getattr(answer, "x", None)
    if not isinstance(program, Program) or not isinstance(x, dict):
        return
    there = program.folders.conclude(x, folder)  # pyright: ignore[reportUnknownArgumentType]
    if there is not None:
        kept = f"the files of the best run are in {best_run(folder)}"
        context.observers.notice(info("best-run", kept if there else LOST))
