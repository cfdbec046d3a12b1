"""The functions `optitrip.search`, `gradient` and `sweep`: each opens a `Session` for one call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from optitrip.api.options import RunOptions, takes
from optitrip.api.session import Session, draft_of
from optitrip.methods.gradient.answer import GradientAnswer
from optitrip.methods.search.answer import SearchAnswer
from optitrip.output.outcome import Answer


@takes(RunOptions)
def search(
    loss: Any,
    space: Mapping[str, Any],
    *,
    candidates: int,
    seed: int = 0,
    sampler: str = "random",
    best: int = 10,
    maximize: bool = False,
    plain: bool = False,
    screen: str | None = None,
    **options: Unpack[RunOptions],
) -> SearchAnswer:
    """Draw candidates, compute the loss of each, and return the best.

    The answer is that of a sweep file with the same values, bit for bit, whatever the number of workers.

    Args:
        loss: function of the variables of the space by name; returns a number, or a dict of `loss` and other numbers.
            Lambdas and closures are accepted, and objects that offer more (`losses`, `report`, ...).
        space: variables by name, as in a sweep file, e.g. {"x": {"normal": [0, 1], "shape": [3]}}.
        candidates: number of candidates to draw.
        seed: seed of the random draws.
        sampler: "random", or "halton" for candidates that are spread more evenly in a few dimensions.
        best: number of best candidates to return.
        maximize: True to look for the largest losses.
        plain: True to ignore batched evaluation and call the loss once per candidate.
        screen: name of a surrogate that the loss offers: it evaluates all candidates, and the loss itself the best.
        options: `workers`, `executor`, `address`, `resources`, `progress`, `state_dir` and `track`, see `Session`.

    Raises:
        optitrip.InputError: if an argument is wrong; mostly before anything is evaluated.
        optitrip.NoAnswer: if no loss is finite, or batches and plain calls disagree.
        optitrip.StateError: if the stored sweep is locked, damaged, or belongs to a loss that has changed since.
        optitrip.Stopped: if workers kept dying, or nothing more could be written; carries the best so far.
        optitrip.Interrupted: after Ctrl-C; carries the best so far.
    """
    with Session(**options) as session:
        return session.search(
            loss, space, candidates=candidates, seed=seed, sampler=sampler, best=best, maximize=maximize, plain=plain,
            screen=screen,
        )  # fmt: skip


@takes(RunOptions)
def gradient(
    loss: Any,
    x: Any,
    *,
    scheme: str = "forward",
    step: float | None = None,
    coordinates: int | None = None,
    seed: int = 0,
    plain: bool = False,
    **options: Unpack[RunOptions],
) -> GradientAnswer:
    """Compute the numeric gradient of a loss at x.

    Args:
        loss: as for `search`.
        x: a number or an array for a loss of one parameter, else a dict of them by name; float32 stays float32.
        scheme: "forward", "backward" or "central" differences.
        step: step size h; by default eps^(1/2) max(1, |x|), or eps^(1/3) max(1, |x|) for central differences.
        coordinates: number of coordinates to differentiate, drawn at random; all by default.
        seed: seed of that draw.
        plain: True to ignore batched and structured evaluation and call the loss once per coordinate.
        options: as for `search`.

    Raises:
        optitrip.NoAnswer: if there is no loss at x, or no coordinate has a difference.
        optitrip.OptitripError, optitrip.Interrupted: as for `search`.
    """
    with Session(**options) as session:
        return session.gradient(loss, x, scheme=scheme, step=step, coordinates=coordinates, seed=seed, plain=plain)


@takes(RunOptions)
def sweep(path_or_table: str | Path | Mapping[str, Any], **options: Unpack[RunOptions]) -> Answer:
    """Run a sweep file, or its tables given as a dict.

    The folder of the file comes first in the search for modules, as in the command.

    Args:
        path_or_table: path of a sweep file, or a dict with its contents.
        options: as for `search`; they replace the [run] table of the file. Its [tracking] table is ignored.

    Raises:
        optitrip.OptitripError, optitrip.Interrupted: as for `search`.
    """
    run = draft_of(path_or_table).run
    options = {"workers": run.workers, "executor": run.executor, "resources": run.resources, **options}
    with Session(**options) as session:
        return session.sweep(path_or_table)
