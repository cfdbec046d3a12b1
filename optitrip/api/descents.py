"""The part of a session that follows slopes."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Unpack

from optitrip.api.inputs import by_name, check_importable, tables_at
from optitrip.api.options import CALL_OPTIONS, RunOptions, takes_options
from optitrip.api.runner import Runner
from optitrip.api.stepping import StepByStep, Steps
from optitrip.core.observer import Observer, Observers
from optitrip.errors import Interrupted
from optitrip.methods.descent.answer import DescentAnswer, DescentSoFar, interrupted
from optitrip.methods.descent.progress import EveryFew
from optitrip.runtime.streams import UsersStream

NORM = "gradient_norm"
"""End of a descent that the [method] table has, not [stop]."""


class Descents(Runner):
    """The descents of a `Session`."""

    _stepping: StepByStep | None = None

    def descent(self, loss: Any, x: Any, **arguments: Any) -> Steps:
        """Follow the slope of a loss one step at a time: yield each point before its step, with `x`, `loss` and `step`.

        Nothing is evaluated between steps, and a loop that ends early ends the descent. The session cannot be used
        meanwhile. The generator returns the answer of `descend`.

        Args:
            loss: as for `search`.
            x: first point, as for `gradient`.
            arguments: all other arguments of `descend`.

        Raises:
            optitrip.OptitripError, optitrip.Interrupted: as for `descend`.
        """
        inspect.signature(self.descend).bind(loss, x, **arguments)
        return self._steps(partial(self.descend, loss, x, **arguments))

    def _steps(self, run: Callable[[], Any]) -> Steps:
        with self._exclusive.stepping():
            self._stepping = StepByStep()
            try:
                return (yield from self._stepping.steps(run))
            finally:
                self._stepping = None

    @takes_options(CALL_OPTIONS)
    def descend(
        self,
        loss: Any,
        x: Any,
        *,
        rate: Any,
        steps: int,
        rule: Any = "sgd",
        settings: Mapping[str, Any] | None = None,
        gradient: str = "central",
        directions: int | None = None,
        step: Any = "auto",
        bounds: Any = None,
        rows: int | None = None,
        stop: Mapping[str, Any] | None = None,
        report_every: int | None = None,
        seed: int = 0,
        maximize: bool = False,
        plain: bool = False,
        as_dict: bool = False,
        constants: Mapping[str, Any] | None = None,
        arguments: Mapping[str, Any] | None = None,
        **options: Unpack[RunOptions],
    ) -> DescentAnswer:
        """Follow the slope of a loss from x, step by step, and return the best point; after Ctrl-C, the best so far.

        Args:
            loss: as for `search`.
            x: first point, as for `gradient`.
            rate: rate of the steps, or a schedule, e.g. {"cosine": 0.1} or {"line_search": 1.0}.
            steps: largest number of steps.
            rule: "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", or your own function of flat
                arrays, (x, gradient, state, rate) -> (x, state), whose state begins as an empty dict.
            settings: options of the rule, e.g. {"momentum": 0.95}.
            gradient: a scheme, as for `gradient`; "orthogonal", "rademacher", "gaussian" or "coordinates" for estimates
                from a few `directions`; or "own", the gradient that the loss offers.
            directions: number of directions of an estimate.
            step: step h of the differences; "auto" for steps from the noise of the loss at the first point.
            bounds: as for `gradient`.
            rows: number of rows of the data in the losses of a step; the loss must offer `subset` and `samples`.
            stop: when to end early: `gradient_norm`, `target_loss`, or `no_improvement`, a number of steps.
            report_every: number of steps between lines of progress.
            seed: seed of directions and mini-batches.
            maximize: True to climb.
            plain: as for `gradient`.
            as_dict, constants, arguments, options: as for `search`.

        Raises:
            optitrip.OptitripError: as for `search`; `NoAnswer` if there is no loss at x, or the rule fails.
        """
        check_importable("rule", rule, {**self._options, **options}.get("state_dir"))
        ends = by_name("stop", stop)
        method = {"use": "descent", "rate": rate, "steps": steps, "rule": rule, "options": settings or {}, "step": step}
        method |= {"gradient": gradient, "directions": directions, "bounds": bounds, "rows": rows, **own_end(ends)}
        flags = {"maximize": maximize, "plain": plain, "as_dict": as_dict}
        tables, point = tables_at(loss, x, method, flags, constants, arguments, seed=seed, stop=ends)
        watch = report_every and EveryFew(report_every, steps, -1 if maximize else 1, UsersStream().write)
        run = partial(self._python_sweep, loss, tables, options, point, observers(watch, self._stepping))
        return even_if_interrupted(run, rule, maximize=maximize)


def observers(*given: object) -> Observers:
    """Return the observers among what is given, as one."""
    return Observers(*(one for one in given if isinstance(one, Observer)))


def own_end(ends: dict[str, Any]) -> dict[str, Any]:
    """Take the end that the [method] table has from those of [stop]; return it as a part of that table."""
    return {NORM: ends.pop(NORM, None)}


def even_if_interrupted(run: Callable[[], DescentAnswer], rule: Any, *, maximize: bool) -> DescentAnswer:
    """Return the answer of a descent, or after Ctrl-C what is known so far."""
    try:
        return run()
    except Interrupted as stopped:
        if not isinstance(stopped.outcome.best, DescentSoFar):
            raise
        return interrupted(stopped.outcome.best, getattr(rule, "__qualname__", str(rule)), maximize=maximize)
