"""The Python interface: search, gradient and sweep, for notebooks and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console

from optitrip.api.inputs import named_point, plain, python_draft, python_objective
from optitrip.app.context import Context
from optitrip.app.load_objective import load, with_surrogate
from optitrip.app.options import Options
from optitrip.app.run_sweep import run_loaded
from optitrip.config.locations import Lines
from optitrip.config.read import parse_draft
from optitrip.config.sweep import Sweep
from optitrip.core.observer import Observer, Observers
from optitrip.errors import InputError
from optitrip.executors.manager import executors
from optitrip.loss.objective import Objective
from optitrip.methods.gradient.answer import GradientAnswer
from optitrip.methods.search.answer import SearchAnswer
from optitrip.methods.spec import SurrogateChoice
from optitrip.output.answer import Answer
from optitrip.output.terminal import LiveLine, Messages
from optitrip.runtime.imports import import_paths, python_paths
from optitrip.store.start_point import STATE_ROOT, read, resolve

EXECUTORS = ("auto", "serial", "ray")


class Session:
    """Keeps workers and the loss from one call to the next: Ray starts once, and a loss travels once.

    A loss is taken as it is at its first call; if something it holds is changed afterwards, give it as a new object.

    Args:
        workers: slots wanted of Ray; one a CPU by default.
        executor: "serial" stays in this process, "ray" goes to Ray; "auto" begins here and goes on there if that pays.
        address: of a Ray cluster to join.
        resources: of each Ray worker, by Ray's names.
        progress: show on stderr what the command would show.

    Raises:
        InputError: if there is no such executor or number of workers.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        executor: str = "auto",
        address: str | None = None,
        resources: Mapping[str, float] | None = None,
        progress: bool = False,
    ) -> None:
        if not isinstance(executor, str) or executor not in EXECUTORS:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(f"executor: was {executor!r}, wanted {' or '.join(map(repr, EXECUTORS))}")
        if workers is not None and not (isinstance(workers, Integral) and workers >= 1):
            raise InputError(f"workers: was {workers!r}, wanted a whole number of at least 1")
        self._executors = executors(executor, workers, address, resources)
        self._progress = progress
        self._last: tuple[Any, SurrogateChoice | None, Objective] | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the workers go."""
        self._executors.close()

    def search(
        self,
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
        state_dir: str | Path | None = None,
        track: bool = False,
    ) -> SearchAnswer:
        """`optitrip.search` on this session's workers."""
        method: dict[str, Any] = {"use": "search", "candidates": candidates, "sampler": sampler, "best": best}
        method |= {"screen": screen} if screen is not None else {}
        answer = self._live(loss, space, method, seed, maximize, plain, state_dir, track)
        assert isinstance(answer, SearchAnswer)
        return answer

    def gradient(
        self,
        loss: Any,
        x: Any,
        *,
        scheme: str = "forward",
        step: float | None = None,
        coordinates: int | None = None,
        seed: int = 0,
        plain: bool = False,
        state_dir: str | Path | None = None,
        track: bool = False,
    ) -> GradientAnswer:
        """`optitrip.gradient` on this session's workers."""
        point = named_point(loss, x)
        space = {name: {"shape": list(value.shape), "dtype": str(value.dtype)} for name, value in point.items()}
        method: dict[str, Any] = {"use": "gradient", "scheme": scheme, "at": {"values": point}}
        method |= {"step": step} if step is not None else {}
        method |= {"coordinates": coordinates} if coordinates is not None else {}
        answer = self._live(loss, space, method, seed, False, plain, state_dir, track)
        assert isinstance(answer, GradientAnswer)
        return answer

    def sweep(
        self, path_or_table: str | Path | Mapping[str, Any], *, state_dir: str | Path | None = None, track: bool = False
    ) -> Answer:
        """`optitrip.sweep` on this session's workers; what the file says of them does not count."""
        return self._sweep(sweep_of(path_or_table, root_of(state_dir)), state_dir, track)

    def _sweep(self, sweep: Sweep, state_dir: str | Path | None, track: bool) -> Answer:
        # As written, and where: 1 and 1.0 are equal, but not the same, and each folder has its own modules.
        said, screen = (repr(sweep.objective), sweep.space.names, sweep.folder), sweep.spec.surrogate(sweep.method)
        if self._last is None or self._last[:2] != (said, screen):
            self._last = (said, screen, load(sweep))
        paths = dict.fromkeys([*import_paths(sweep.folder), *python_paths()])  # what this process found, workers find
        return self._run(sweep, self._last[2], tuple(paths), state_dir, track)

    def _live(
        self,
        loss: Any,
        space: Mapping[str, Any],
        method: Mapping[str, Any],
        seed: int,
        maximize: bool,
        plainly: bool,
        state_dir: str | Path | None,
        track: bool,
    ) -> Answer:
        objective = {"maximize": maximize, "plain": plainly}
        method = {key: value if key == "at" else plain(value) for key, value in method.items()}
        tables = {"seed": plain(seed), "objective": objective, "space": plain(space), "method": method}
        sweep = resolve(python_draft(loss, tables, kept=state_dir is not None), root_of(state_dir))
        made, last, screen = python_objective(loss, sweep), self._last, sweep.spec.surrogate(sweep.method)
        if last is None or last[0] is not loss or last[1] != screen or last[2].capabilities != made.capabilities:
            self._last = last = (loss, screen, with_surrogate(made, sweep))
        return self._run(sweep, last[2], python_paths(), state_dir, track)

    def _run(
        self, sweep: Sweep, objective: Objective, paths: tuple[str, ...], state_dir: str | Path | None, track: bool
    ) -> Answer:
        tracking = sweep.tracking.model_copy(update={"use": "mlflow" if track else "none"})
        options = Options(Path(state_dir) if state_dir is not None else None)
        observer = Observer()
        if self._progress:
            console = Console(stderr=True, highlight=False)
            observer = Observers(Messages(console), LiveLine(console, sweep.spec.progress(sweep)))
        sweep = replace(sweep, tracking=tracking)
        outcome = run_loaded(Context(sweep, objective, paths, self._executors, options, observer))
        assert outcome.answer is not None
        return outcome.answer


def root_of(state_dir: str | Path | None) -> Path:
    """Return the folder of state directories, in which `best_of` looks."""
    return STATE_ROOT if state_dir is None else Path(state_dir)


def sweep_of(path_or_table: str | Path | Mapping[str, Any], root: Path) -> Sweep:
    """The sweep of a file, or of its tables.

    Raises:
        InputError: for a mistake in it, or what is neither.
    """
    if not isinstance(path_or_table, Mapping | str | Path):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"sweep: was {path_or_table!r}, wanted the path of a sweep file, or its tables as a dict")
    if isinstance(path_or_table, Mapping):
        tables = plain(path_or_table)
        text = f"# Started from Python with\n# {tables}\n"
        return resolve(parse_draft(tables, Lines(None, ""), "sweep", Path.cwd(), text), root)
    return read(Path(path_or_table), root=root)
