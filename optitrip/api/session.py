"""The session, whose workers and loaded loss serve several calls."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from optitrip.api.ask_tell import AskTell
from optitrip.api.descents import Descents
from optitrip.api.directions import AlongDirections
from optitrip.api.exclusive import one_at_a_time
from optitrip.api.inputs import (
    by_name,
    draft_of,
    tables_at,
    with_constants,
)
from optitrip.api.options import CALL_OPTIONS, SEARCH_KEYS, RunOptions, SearchOptions, split_options, takes_options
from optitrip.api.repeated import Jacobian, RepeatedGradient, repeated
from optitrip.api.sensitivities import Sensitivities
from optitrip.app.context import NoticeLog
from optitrip.app.load_objective import load
from optitrip.loss.objective import batch_block
from optitrip.methods.gradient.answer import GradientAnswer
from optitrip.methods.search.answer import SearchAnswer
from optitrip.output.outcome import Answer
from optitrip.runtime.imports import import_paths, python_paths
from optitrip.runtime.interrupts import signals_interrupt
from optitrip.store import STATE_ROOT
from optitrip.store.lookup import resolve


class Session(Descents, AskTell, Sensitivities, AlongDirections):
    """Workers and a loss that are reused from call to call: Ray starts once, and the workers receive a loss once.

    Threads may share a session: their calls wait for one another. A forked process cannot use it.

    Each call looks at the loss and loads it anew if it has changed: its attributes, arrays (a sample of one over 1 MB),
    closure, code, and the globals and class attributes that its code names, which workers get too. `refresh` is for
    what cannot be seen. A loss with more than 1 MB of data other than arrays is loaded anew in each call. A module of
    yours that has changed since the session was opened, but was not reloaded, is refused.

    Args:
        workers: number of Ray workers; one per CPU by default.
        executor: "serial" evaluates in this process, "ray" on Ray workers; "auto" starts in this process and moves to
            Ray if that pays.
        address: address of a Ray cluster to join.
        resources: resources of each Ray worker, by Ray's names.
        isolate: True to evaluate in processes of their own on this machine, which end with all their descendants.
        progress: True to show progress and messages, as the command does; by default, only a notebook shows a line, in
            calls that take over a second.
        state_dir: folder for the journal and result files of each sweep; a sweep stored there is resumed. By default
            nothing is written.
        track: True to record sweeps in MLflow, as the command does.
        trust: True to use a state directory that others could have planted or changed, e.g. in a shared folder.
        mirror: folder or bucket, e.g. "s3://name/folder", to which the journal of each sweep in `state_dir` is copied
            every minute and at the end.
        restore: such a folder or bucket, from which each sweep begins if it has a copy there.

    Raises:
        InputError: if the executor or the number of workers is not valid.
    """

    @takes_options([*SEARCH_KEYS, *CALL_OPTIONS])
    def search(
        self,
        loss: Any,
        space: Mapping[str, Any],
        *,
        candidates: int | None = None,
        seed: int = 0,
        sampler: str = "random",
        best: int = 10,
        maximize: bool = False,
        plain: bool = False,
        as_dict: bool = False,
        constants: Mapping[str, Any] | None = None,
        arguments: Mapping[str, Any] | None = None,
        screen: str | None = None,
        recheck: Mapping[str, int] | None = None,
        repeats: int = 1,
        deterministic: bool | float = True,
        **options: Unpack[SearchOptions],
    ) -> SearchAnswer:
        """Draw candidates, compute the loss of each, and return the best: the answer of a sweep file with these values.

        Args:
            loss: function of the variables of the space by name; returns a number, or a dict of `loss` and other
                numbers. It may be a lambda, a closure, or an object that offers more (`losses`, `report`, ...).
            space: variables by name, as in a sweep file, e.g. {"x": {"normal": [0, 1], "shape": [3]}}.
            candidates: number of candidates to draw.
            seed: seed of the random draws.
            sampler: "random"; "sobol" or "halton" to spread candidates more evenly in a few dimensions;
                "latin_hypercube", which draws all candidates together; or "grid" for all combinations.
            best: number of best candidates to return.
            maximize: True to look for the largest losses.
            plain: True to ignore batched evaluation and call the loss once per candidate.
            as_dict: True to pass all variables as one dict, `loss({"x": ..., "0.weight": ...})`.
            constants: parameters by name that are passed, but not drawn; any objects. Numbers, strings and lists are as
                constants of the space, so a list arrives as an array; arrays keep their type.
            arguments: arguments by name that are bound to a function, as [objective.arguments] does. With `state_dir`,
                both must be numbers, text, None, arrays, or lists, tuples and dicts of them.
            screen: name of a surrogate of the loss, which evaluates all candidates, and the loss only the best.
            recheck: for a noisy loss: {"best": 20, "repeats": 5} evaluates the best again, and the best mean wins.
            repeats: number of evaluations of a candidate, whose mean is the loss; a parameter `seed` differs each time.
            deterministic: False for a random loss, or the relative difference that noise may make.
            options: `points`, `first`, `where`, `redraw`, `halve`, as in a sweep file; `state_dir`, `track`, `trust`,
                `mirror`, `restore`; `optitrip.search` takes those of a `Session`.

        Raises:
            optitrip.InputError: if an argument is wrong; usually before anything is evaluated.
            optitrip.NoAnswer: if no loss is finite, or batches and plain calls disagree.
            optitrip.StateError: if the stored sweep is locked, damaged, or belongs to a loss that has changed since.
            optitrip.Stopped, optitrip.Interrupted: without workers or disk, or after Ctrl-C; with the best so far.
        """
        drawn = {"candidates": candidates, **({"sampler": sampler} if sampler != "random" else {})}
        own, others = split_options(options)
        method = {"use": "search", **drawn, "best": best, "screen": screen, "recheck": recheck, **own}
        method = {key: value for key, value in method.items() if value is not None}
        bound, held = by_name("arguments", arguments), by_name("constants", constants)
        objective: dict[str, Any] = {"maximize": maximize, "plain": plain, "as_dict": as_dict, "arguments": bound}
        objective |= {"repeats": repeats, "deterministic": deterministic}
        tables = {"seed": seed, "objective": objective, "method": method, "space": with_constants(space, held, bound)}
        return self._python_sweep(loss, tables, others)

    @takes_options(CALL_OPTIONS)
    def gradient(
        self,
        loss: Any,
        x: Any,
        *,
        scheme: str | None = None,
        step: Any = "auto",
        noise: float | None = None,
        errors: bool = True,
        bounds: Any = None,
        f0: float | None = None,
        coordinates: int | str | Sequence[str] | None = None,
        seed: int = 0,
        plain: bool = False,
        as_dict: bool = False,
        constants: Mapping[str, Any] | None = None,
        arguments: Mapping[str, Any] | None = None,
        **options: Unpack[RunOptions],
    ) -> GradientAnswer:
        """Compute the numeric gradient of a loss at x.

        Args:
            loss: as for `search`.
            x: a number or an array if the loss has one parameter, else a dict of them by name; float32 stays float32.
            scheme: "forward", "backward", "central", "four_point" or "richardson"; by default four-point differences,
                central ones of a structured loss, or forward ones with a given step.
            step: "auto" for steps from the measured noise of the loss; h, negative to go down; numbers or arrays by
                variable; or {"relative": 1e-6} for steps relative to x.
            noise: standard deviation of the loss, if known: it is not measured then, and there is no second round.
            errors: False to save the evaluations that only serve error estimates, half of all with one or two points.
            bounds: limits that x must not leave, a pair (low, high) of numbers or arrays, or such pairs by name.
            f0: loss at x, if known: it is not evaluated then, but to measure the noise.
            coordinates: number of coordinates, drawn at random, or which, e.g. "W[3, :]" or a list; all by default.
            seed: seed of that draw.
            plain: True to ignore batched and structured evaluation and call the loss once per coordinate.
            as_dict: as for `search`.
            constants: parameters by name that are passed with x, but not differentiated; as for `search`.
            arguments: as for `search`.
            options: as for `search`.

        Raises:
            optitrip.NoAnswer: if there is no loss at x, or no coordinate has a difference.
            optitrip.OptitripError, optitrip.Interrupted: as for `search`.
        """
        given = {"scheme": scheme, "step": step, "noise": noise, "errors": errors, "bounds": bounds, "f0": f0}
        method = {"use": "gradient", **given, "coordinates": coordinates}
        objective = {"plain": plain, "as_dict": as_dict}
        tables, point = tables_at(loss, x, method, objective, constants, arguments, seed=seed)
        return self._python_sweep(loss, tables, options, point)

    def jac(
        self,
        loss: Any,
        x0: Any,
        *,
        args: Any = (),
        scheme: str | None = None,
        step: Any = "auto",
        noise: float | None = None,
        bounds: Any = None,
        plain: bool = False,
        constants: Mapping[str, Any] | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> Jacobian | RepeatedGradient:
        """Return the numeric gradient of a loss as a function of x, each call of which uses the session's workers.

        While the session evaluates in this process, and nothing is to be shown or stored, the function is that of
        `optitrip.jac`, which has less to do at each call, and differentiates losses of several numbers, too. On workers
        it is for losses of one number that take milliseconds or more.

        Args:
            loss: function of one array that returns a number.
            x0: point at which noise, steps and errors are measured.
            args: as for `optitrip.jac`.
            scheme: as for `gradient`.
            step: as for `gradient`.
            noise: as for `gradient`.
            bounds: as for `gradient`; the function keeps within them, too.
            plain: as for `gradient`.
            constants: as for `search`.
            arguments: as for `search`.

        Raises:
            optitrip.OptitripError: as for `gradient`.
        """
        options: Any = {"args": args, "scheme": scheme, "step": step, "noise": noise, "bounds": bounds, "plain": plain}
        options |= {"constants": constants, "arguments": arguments}
        return repeated(self.gradient, loss, x0, here=self._evaluates_here, **options)

    @takes_options(CALL_OPTIONS)
    @one_at_a_time
    @signals_interrupt()
    def sweep(self, path_or_table: str | Path | Mapping[str, Any], **options: Unpack[RunOptions]) -> Answer:
        """Run a sweep file, or its tables given as a dict.

        Modules are searched for in the folder of the file first, as by the command. Of its tables [tracking]
        and [run], a session uses `experiment` and `wait_seconds` only; `optitrip.sweep` uses all of [run], unless an
        option overrides it. Programs are children of this process, as many at a time as the session has workers, unless
        its executor is "ray".

        Args:
            path_or_table: path of a sweep file, or a dict with its contents.
            options: as for `search`.

        Raises:
            optitrip.OptitripError, optitrip.Interrupted: as for `search`.
        """
        options = {**self._options, **options}
        settings = self._settings(options)
        sweep = resolve(draft_of(path_or_table), settings.root or settings.folder / STATE_ROOT)
        # The repr tells 1 from 1.0, which are equal but different arguments; each folder has its own modules.
        names, block = sweep.space.names, batch_block(sweep.space)
        key = repr(sweep.objective), repr(sweep.program), names, block, sweep.folder, sweep.spec.surrogate(sweep.method)
        first = import_paths(sweep.folder)
        objective = self._loaded.objective(key, lambda: load(sweep, NoticeLog().notice))
        paths = dict.fromkeys([*first, *python_paths()])  # workers find what this process found
        return self._run(sweep, objective, tuple(paths), options, settings)
