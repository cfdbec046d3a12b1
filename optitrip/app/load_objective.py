"""The objective of a sweep, loaded, checked against its space, with its surrogate."""

from __future__ import annotations

import inspect
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

from threadpoolctl import threadpool_limits

from optitrip.config.sweep import Sweep
from optitrip.core.suggest import nearest
from optitrip.errors import InputError
from optitrip.loss.loading import build, check_parameters, find
from optitrip.loss.objective import Objective
from optitrip.runtime.imports import import_paths, use_import_paths
from optitrip.runtime.tracebacks import with_trace


def load(sweep: Sweep) -> Objective:
    """Import and build the objective of a sweep in this process, and check its parameters against the space.

    Raises:
        InputError: if the module cannot be imported, has no such name, the arguments do not fit, building it raised,
            the result is no loss, or it takes other parameters than the space has; with the line of the sweep file.
    """
    use_import_paths(import_paths(sweep.folder))
    table = sweep.objective
    named_by = ("objective", "loss" if table.loss else "make")
    with mistakes_at(sweep, named_by):
        named = find(table.reference, sweep.folder)
    with mistakes_at(sweep, ("objective", "arguments") if table.arguments else named_by):
        loss = build(named, table.reference, table.arguments, factory=table.make is not None)
        objective = Objective(loss, table.reference, table.block, plain=table.plain)
        shared = [name for name in table.arguments if name in sweep.space.names]
        if table.loss and not inspect.isclass(named) and shared:
            raise InputError(
                f"objective {table.reference}: {', '.join(shared)} is both in [objective.arguments] and in [space]; "
                "it can be bound or varied, not both"
            )
    with mistakes_at(sweep, ("space",)):
        for call in (objective.plain_call, objective.batch_call):
            if call is not None:
                check_parameters(call, table.reference, sweep.space.names)
    return with_surrogate(objective, sweep)


@contextmanager
def mistakes_at(sweep: Sweep, key: tuple[str, ...]) -> Generator[None]:
    """Give what is wrong within the place of a key in the sweep file, if there is a file."""
    try:
        yield
    except InputError as error:
        if sweep.lines is None or sweep.lines.path is None:
            raise
        raise sweep.mistake(key, str(error)) from None


def with_surrogate(objective: Objective, sweep: Sweep) -> Objective:
    """Return the objective with the surrogate that the sweep screens by, if it does.

    Made here and not by the workers, so that those of a node share its arrays; by one thread, as they would.

    Raises:
        InputError: if it offers none under this word, or making it raised.
    """
    choice = sweep.spec.surrogate(sweep.method)
    if choice is None:
        return objective
    offered = objective.capabilities.screens
    if choice.word not in offered:
        what = f"{objective.name} offers no screen {choice.word!r}"
        why = nearest(choice.word, list(offered)) if offered else "wanted an objective with `screens` and `screen`"
        raise sweep.mistake(("method", "screen"), f"{what}; {why}" + (" (plain is set)" if objective.plain else ""))
    options = {"device": choice.device} if choice.device else {}
    try:
        with threadpool_limits(limits=1):
            made = objective.loss.screen(choice.word, **options)
            surrogate = Objective(made, f"{objective.name}, {choice.word}", objective.capabilities.block)
    except InputError as error:
        raise sweep.mistake(("method", "screen"), str(error)) from None
    except (Exception, SystemExit) as error:
        raise InputError(with_trace(f"objective {objective.name}: its screen {choice.word!r} raised", error)) from None
    return replace(objective, surrogate=surrogate)
