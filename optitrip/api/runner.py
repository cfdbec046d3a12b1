"""Runs of Python calls on workers and a loaded loss that are reused from call to call."""

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, Self, TextIO, cast

from rich.console import Console

from optitrip.api.exclusive import Exclusive, one_at_a_time
from optitrip.api.inputs import (
    python_draft,
    without_numpy,
)
from optitrip.api.loaded import LoadedLoss, Same
from optitrip.api.options import RunOptions, check_workers
from optitrip.app.context import Context, Options
from optitrip.app.load_objective import check_calls, objective_of, with_surrogate
from optitrip.app.run_sweep import run_loaded
from optitrip.config.sweep import Sweep
from optitrip.core.observer import Observer, Observers
from optitrip.errors import InputError
from optitrip.executors.manager import ExecutorManager, executors, executors_of_programs, programs_here
from optitrip.loss.loading import build
from optitrip.loss.objective import Objective
from optitrip.loss.rung import settings_of
from optitrip.output.notebook import NotebookLine, in_notebook
from optitrip.output.terminal import LiveLine, Messages
from optitrip.runtime.imports import python_paths
from optitrip.runtime.interrupts import signals_interrupt
from optitrip.runtime.streams import UsersStream
from optitrip.store import STATE_ROOT
from optitrip.store.lookup import resolve


class Runner:
    """The private half of a `Session`, which documents it: settings, workers, and how one call runs."""

    def __init__(
        self,
        workers: int | None = None,
        *,
        executor: str = "auto",
        address: str | None = None,
        resources: Mapping[str, float] | None = None,
        isolate: bool = False,
        progress: bool | None = None,
        state_dir: str | Path | None = None,
        track: bool = False,
        trust: bool = False,
        mirror: str | None = None,
        restore: str | None = None,
    ) -> None:
        check_workers(executor, workers)
        self._places = executor, workers, address, resources or {}
        self._executors = executors(executor, workers, address, resources, isolate=isolate)
        self._progress = progress
        self._options: RunOptions = {"state_dir": state_dir, "track": track, "trust": trust}
        self._options |= {"mirror": mirror, "restore": restore}
        self._loaded = LoadedLoss(self._executors.close)
        self._exclusive = Exclusive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Session cannot be copied, pickled or sent to workers: it holds workers of this process")

    def close(self) -> None:
        """Stop the workers; a later call starts others. In a forked process nothing happens."""
        if not self._exclusive.forked:
            with self._exclusive.call():
                self._executors.close()

    @one_at_a_time
    def refresh(self, loss: Any = None) -> None:
        """Have the next call load the loss anew, on new workers, though nothing that can be seen has changed.

        Args:
            loss: loss that has changed, e.g. in one entry of a large array; by default the one that is loaded.
        """
        self._loaded.forget(loss)

    @one_at_a_time
    @signals_interrupt()
    def _python_sweep(
        self, loss: Any, tables: Any, options: RunOptions, point: Any = None, watch: Observer | None = None
    ) -> Any:
        options = {**self._options, **options}
        settings = self._settings(options)
        arguments = tables["objective"]["arguments"]
        tables = {key: table if key == "objective" else without_numpy(table) for key, table in tables.items()}
        if point is not None:  # as arrays, since it may be large
            tables["method"]["at"] = {"values": point}
        draft = python_draft(loss, tables, stored=settings.root is not None)
        sweep = resolve(draft, settings.root or settings.folder / STATE_ROOT)
        objective = objective_of(sweep, build(loss, sweep.objective.reference, arguments, factory=False))
        check_calls(objective, sweep)
        surrogate, names = sweep.spec.surrogate(sweep.method), sweep.space.names
        bound = {name: Same(value) for name, value in arguments.items()}
        wrapped = settings_of(objective.loss)
        key = Same(loss), bound, names, objective.as_dict, surrogate, objective.capabilities, wrapped
        objective = self._loaded.objective(key, lambda: with_surrogate(objective, sweep))
        return self._run(sweep, objective, python_paths(), options, settings, watch)

    def _evaluates_here(self) -> bool:
        """Return whether losses are computed in this process now, and nothing is shown or stored."""
        return self._executors.evaluates_here and not self._progress and not any(self._options.values())

    def _settings(self, options: RunOptions) -> Options:
        """Return the settings of a run in the working directory, before the loss can change it."""
        state_dir, copies = options.get("state_dir"), {key: options.get(key) for key in ("mirror", "restore")}
        for key, uri in copies.items():
            if uri is not None and (state_dir is None or not isinstance(uri, str)):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InputError(f"{key}: wanted a folder or the URI of a bucket, as a string, and a state_dir")
        root = None if state_dir is None else Path(state_dir)
        settings = Options(root, trust=options.get("trust", False), mirror=copies["mirror"], restore=copies["restore"])
        self._executors.folder = settings.folder
        return settings

    def _run(
        self,
        sweep: Sweep,
        objective: Objective,
        paths: tuple[str, ...],
        options: RunOptions,
        settings: Options,
        watch: Observer | None = None,
    ) -> Any:
        observer, shown = Observer(), nullcontext()
        notebook = in_notebook()
        if self._progress or (notebook and self._progress is None):
            console = Console(file=cast("TextIO", UsersStream()), highlight=False, force_jupyter=False)
            counted = sweep.spec.progress(sweep)
            line = NotebookLine(counted, time.monotonic) if notebook else LiveLine(console, counted)
            shown = line.show()
            observer = Observers(Messages(console, "info"), line) if self._progress else line
        observer = Observers(observer, watch) if watch is not None else observer
        tracking = sweep.tracking.model_copy(update={"use": "mlflow" if options.get("track") else "none"})
        sweep = replace(sweep, tracking=tracking)
        with shown, self._executors_of(sweep) as used:
            return run_loaded(Context(sweep, objective, paths, used, settings, observer)).answer

    @contextmanager
    def _executors_of(self, sweep: Sweep) -> Generator[ExecutorManager]:
        """Give the session's workers, or for a program, where it needs none, children of this process."""
        word, workers, address, resources = self._places
        if sweep.program is None or not programs_here(word, address):
            yield self._executors
            return
        with executors_of_programs(word, workers, resources, sweep.program.threads) as children:
            children.folder = self._executors.folder
            yield children
