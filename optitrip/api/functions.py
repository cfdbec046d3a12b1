"""The Python interface: search, gradient and sweep, for notebooks and programs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optitrip.api.session import Session, root_of, sweep_of
from optitrip.methods.gradient.answer import GradientAnswer
from optitrip.methods.search.answer import SearchAnswer
from optitrip.output.answer import Answer


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
    workers: int | None = None,
    executor: str = "auto",
    progress: bool = False,
    state_dir: str | Path | None = None,
    track: bool = False,
) -> SearchAnswer:
    """Draw candidates, compute the loss of each, keep the best.

    The answer is that of a sweep file with the same words, bit for bit, whatever the number of workers.

    Args:
        loss: called with the variables of the space by name; returns a number, or a dict of `loss` and other numbers.
            A lambda or a closure will do, or an object that offers more (`losses`, `report`, ...).
        space: variables by name, in the words of a sweep file, e.g. {"x": {"normal": [0, 1], "shape": [3]}}.
        candidates: how many are drawn.
        seed: of the draws.
        sampler: "random" or "halton", which spreads candidates more evenly in a few dimensions.
        best: how many of the best are kept.
        maximize: keep the largest losses in place of the smallest.
        plain: use the plain call, whatever else the loss offers.
        screen: every candidate by the cheaper surrogate that the loss offers under this word, the best ones by itself.
        workers: slots wanted of Ray; one a CPU by default.
        executor: "auto", "serial" or "ray", see `Session`.
        progress: show on stderr what the command would show.
        state_dir: keep a journal and the files of the answer below this folder, and go on from what is there.
        track: tell MLflow of it, as the command does.

    Raises:
        optitrip.InputError: for a mistake in what was given, before anything is evaluated.
        optitrip.NoAnswer: if no loss is finite, or batches and plain calls disagree.
        optitrip.StateError: if what is stored is locked, damaged, or of a loss that has changed since.
        optitrip.Stopped: if workers kept dying, or nothing more could be written; carries the best so far.
        optitrip.Interrupted: after Ctrl-C; carries the best so far, too.
    """
    with Session(workers, executor=executor, progress=progress) as session:
        return session.search(
            loss, space, candidates=candidates, seed=seed, sampler=sampler, best=best, maximize=maximize, plain=plain,
            screen=screen, state_dir=state_dir, track=track,
        )  # fmt: skip


def gradient(
    loss: Any,
    x: Any,
    *,
    scheme: str = "forward",
    step: float | None = None,
    coordinates: int | None = None,
    seed: int = 0,
    plain: bool = False,
    workers: int | None = None,
    executor: str = "auto",
    progress: bool = False,
    state_dir: str | Path | None = None,
    track: bool = False,
) -> GradientAnswer:
    """The numeric gradient of a loss at x.

    Args:
        loss: as for `search`.
        x: a number or an array for a loss of one parameter, else a dict of them by name; float32 stays float32.
        scheme: "forward", "backward" or "central" differences.
        step: h; by default eps^(1/2) max(1, |x|), or eps^(1/3) max(1, |x|) for central differences.
        coordinates: only this many, drawn at random by the seed; by default all.
        seed: of that draw.
        plain: use the plain call, one coordinate at a time, whatever else the loss offers.
        workers, executor, progress, state_dir, track: as for `search`.

    Raises:
        optitrip.InputError: for a mistake in what was given, before anything is evaluated.
        optitrip.NoAnswer: if there is no loss at x, or no coordinate has a difference.
        optitrip.StateError: if what is stored is locked, damaged, or of a loss that has changed since.
        optitrip.Stopped: if workers kept dying, or nothing more could be written; carries the best so far.
        optitrip.Interrupted: after Ctrl-C; carries the best so far, too.
    """
    with Session(workers, executor=executor, progress=progress) as session:
        return session.gradient(
            loss, x, scheme=scheme, step=step, coordinates=coordinates, seed=seed, plain=plain, state_dir=state_dir,
            track=track,
        )  # fmt: skip


def sweep(
    path_or_table: str | Path | Mapping[str, Any],
    *,
    progress: bool = False,
    state_dir: str | Path | None = None,
    track: bool = False,
) -> Answer:
    """The answer of a sweep file, or of its tables as a dict.

    As the command does, it puts the file's folder first where Python looks for modules.

    Args:
        path_or_table: of the file, or what it would hold.
        progress, state_dir, track: as for `search`; what the file says of tracking does not count.

    Raises:
        optitrip.OptitripError, optitrip.Interrupted: as for `search`.
    """
    given = sweep_of(path_or_table, root_of(state_dir))
    run = given.run
    with Session(run.workers, executor=run.executor, resources=run.resources, progress=progress) as session:
        return session._sweep(given, state_dir, track)  # pyright: ignore[reportPrivateUsage]
