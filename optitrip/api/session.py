"""A session: workers and a loaded loss that serve several searches, gradients and sweeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any, Unpack

from rich.console import Console

from optitrip.api.inputs import named_point, python_draft, without_numpy
from optitrip.api.options import StoreOptions, takes
from optitrip.app.context import Context
from optitrip.app.load_objective import check_calls, load, with_surrogate
from optitrip.app.options import Options
from optitrip.app.run_sweep import run_loaded
from optitrip.config.locations import Lines
from optitrip.config.read import parse_draft, read_draft
from optitrip.config.sweep import Draft, Sweep
from optitrip.core.observer import Observer, Observers
from optitrip.errors import InputError
from optitrip.executors.manager import executors
from optitrip.loss.objective import Objective
from optitrip.methods.gradient.answer import GradientAnswer
from optitrip.methods.search.answer import SearchAnswer
from optitrip.output.outcome import Answer
from optitrip.output.terminal import LiveLine, Messages
from optitrip.runtime.imports import import_paths, python_paths
from optitrip.store.start_point import STATE_ROOT, resolve

EXECUTORS = ("auto", "serial", "ray")


class Session:
    """Workers and a loss that are reused from call to call: Ray starts once, and a loss is sent to workers once.

    The loss is used as it is at its first call; if data in it changes afterwards, pass a new object.

    Args:
        workers: number of Ray workers; one per CPU by default.
        executor: "serial" evaluates in this process, "ray" on Ray workers; "auto" starts in this process and moves to
            Ray if that pays.
        address: address of a Ray cluster to join.
        resources: resources of each Ray worker, by Ray's names.
        progress: True to show progress and messages on stderr, as the command does.
        state_dir: folder for the journal and result files of each sweep; a sweep stored there is resumed. By default
            nothing is written.
        track: True to record sweeps in MLflow, as the command does.

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
        state_dir: str | Path | None = None,
        track: bool = False,
    ) -> None:
        if not isinstance(executor, str) or executor not in EXECUTORS:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(f"executor: was {executor!r}, wanted {' or '.join(map(repr, EXECUTORS))}")
        if workers is not None and not (isinstance(workers, Integral) and workers >= 1):
            raise InputError(f"workers: was {workers!r}, wanted a whole number of at least 1")
        self._executors = executors(executor, workers, address, resources)
        self._progress = progress
        self._options: StoreOptions = {"state_dir": state_dir, "track": track}
        self._last: tuple[Any, Objective] | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the workers."""
        self._executors.close()

    @takes(StoreOptions)
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
        **options: Unpack[StoreOptions],
    ) -> SearchAnswer:
        """Run `optitrip.search` on the workers of this session; options are `state_dir` and `track`, for this call."""
        method: dict[str, Any] = {"use": "search", "candidates": candidates, "sampler": sampler, "best": best}
        method |= {"screen": screen} if screen is not None else {}
        objective = {"maximize": maximize, "plain": plain}
        tables = {"seed": seed, "objective": objective, "space": space, "method": method}
        answer = self._python_sweep(loss, tables, options)
        assert isinstance(answer, SearchAnswer)
        return answer

    @takes(StoreOptions)
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
        **options: Unpack[StoreOptions],
    ) -> GradientAnswer:
        """Run `optitrip.gradient` on the workers of this session; options as for `search`."""
        point = named_point(loss, x)
        space = {name: {"shape": list(value.shape), "dtype": str(value.dtype)} for name, value in point.items()}
        method: dict[str, Any] = {"use": "gradient", "scheme": scheme}
        method |= {"step": step} if step is not None else {}
        method |= {"coordinates": coordinates} if coordinates is not None else {}
        objective = {"maximize": False, "plain": plain}
        tables = {"seed": seed, "objective": objective, "space": space, "method": method}
        answer = self._python_sweep(loss, tables, options, point)
        assert isinstance(answer, GradientAnswer)
        return answer

    @takes(StoreOptions)
    def sweep(self, path_or_table: str | Path | Mapping[str, Any], **options: Unpack[StoreOptions]) -> Answer:
        """Run `optitrip.sweep` on the workers of this session, whatever the file's [run]; options as for `search`."""
        options = {**self._options, **options}
        sweep = resolve(draft_of(path_or_table), state_root(options.get("state_dir")))
        # The repr tells 1 from 1.0, which are equal but different arguments; each folder has its own modules.
        key = repr(sweep.objective), sweep.space.names, sweep.folder, sweep.spec.surrogate(sweep.method)
        objective = self._loaded(key, lambda: load(sweep))
        paths = dict.fromkeys([*import_paths(sweep.folder), *python_paths()])  # workers find what this process found
        return self._run(sweep, objective, tuple(paths), options)

    def _python_sweep(self, loss: Any, tables: Any, options: StoreOptions, point: Any = None) -> Answer:
        options = {**self._options, **options}
        state_dir = options.get("state_dir")
        tables = without_numpy(tables)
        if point is not None:  # as arrays, since it may be large
            tables["method"]["at"] = {"values": point}
        draft = python_draft(loss, tables, kept=state_dir is not None)
        sweep = resolve(draft, state_root(state_dir))
        table = sweep.objective
        objective = Objective(loss, table.reference, table.block, plain=table.plain)
        check_calls(objective, sweep)
        key = id(loss), sweep.spec.surrogate(sweep.method), objective.capabilities
        objective = self._loaded(key, lambda: with_surrogate(objective, sweep))
        return self._run(sweep, objective, python_paths(), options)

    def _loaded(self, key: Any, load: Callable[[], Objective]) -> Objective:
        """Return the objective of the last call if it has the same key, so that it is not sent to workers again."""
        if self._last is None or self._last[0] != key:
            self._last = (key, load())
        return self._last[1]

    def _run(self, sweep: Sweep, objective: Objective, paths: tuple[str, ...], options: StoreOptions) -> Answer:
        state_dir = options.get("state_dir")
        observer = Observer()
        if self._progress:
            console = Console(stderr=True, highlight=False)
            observer = Observers(Messages(console), LiveLine(console, sweep.spec.progress(sweep)))
        tracking = sweep.tracking.model_copy(update={"use": "mlflow" if options.get("track") else "none"})
        sweep = replace(sweep, tracking=tracking)
        run_options = Options(None if state_dir is None else Path(state_dir))
        outcome = run_loaded(Context(sweep, objective, paths, self._executors, run_options, observer))
        assert outcome.answer is not None
        return outcome.answer


def state_root(state_dir: str | Path | None) -> Path:
    """Return the folder of state directories, where `best_of` looks."""
    return STATE_ROOT if state_dir is None else Path(state_dir)


def draft_of(path_or_table: str | Path | Mapping[str, Any]) -> Draft:
    """Read a sweep file, or its tables.

    Raises:
        InputError: if it has mistakes, or the argument is neither.
    """
    if isinstance(path_or_table, Mapping):
        tables = without_numpy(path_or_table)
        text = f"# Started from Python with\n# {tables}\n"
        return parse_draft(tables, Lines(None, ""), "sweep", Path.cwd(), text)
    if not isinstance(path_or_table, str | Path):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"sweep: was {path_or_table!r}, wanted the path of a sweep file, or its tables as a dict")
    return read_draft(Path(path_or_table))
