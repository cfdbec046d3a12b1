"""Loads the objective of a sweep, checks it against the space, and adds its surrogate."""

import inspect
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from optitrip.app.resources import staged
from optitrip.config.locations import KeyPath
from optitrip.config.sweep import Sweep
from optitrip.core.differences import nearest
from optitrip.core.notice import Notice, warning
from optitrip.errors import InputError
from optitrip.loss.loading import build, find_loss
from optitrip.loss.noisy import SEED, Noisy, takes_seed
from optitrip.loss.objective import Objective, batch_block
from optitrip.loss.offers import find
from optitrip.loss.passing import check_parameters, mismatch
from optitrip.loss.program.folders import Folders
from optitrip.loss.with_gradient import WithGradient, given_gradient
from optitrip.runtime.imports import import_paths
from optitrip.runtime.interrupts import failure
from optitrip.runtime.shadowing import added_paths_checked, described, use_import_paths
from optitrip.runtime.tracebacks import with_trace


def load(sweep: Sweep, notify: Callable[[Notice], None] = lambda _: None) -> Objective:
    """Import and build the objective of a sweep in this process, and check its parameters against the space.

    `notify` receives a notice about files of the user that have the name of a library.
    """
    table = sweep.objective
    files = use_import_paths(import_paths(sweep.folder))
    try:
        with errors_located(sweep, table.key), added_paths_checked(files):
            target = find_loss(table.reference, sweep.folder)
    finally:
        if files:
            notify(warning("named-like-library", described(files)))
    with errors_located(sweep, ("objective",)):
        gradient = given_gradient(table.gradient, sweep.folder)
    with errors_located(sweep, ("objective", "arguments") if table.arguments else table.key):
        loss = build(target, table.reference, table.arguments, factory=table.make is not None)
        if gradient is not None:
            loss = WithGradient(loss, gradient)
        if sweep.program is not None:
            limit = sweep.program.timeout_seconds or sweep.failures.timeout_seconds
            place, maximize = Path(sweep.program.folders).absolute(), sweep.program.maximize
            resource = sweep.spec.resource(sweep.method)
            whole = {resource.argument: resource.amount} if resource else {}
            folders = Folders(place, sweep.program.kinds, sweep.label, maximize=maximize, whole=whole)
            loss = loss.at(sweep.program.place(sweep.folder), folders, limit)
        objective = objective_of(sweep, loss)
        shared = [name for name in table.arguments if name in sweep.space.names]
        if table.loss and not inspect.isclass(target) and shared:
            raise InputError(
                f"objective {table.reference}: both [objective.arguments] and [space] have {', '.join(shared)}; "
                "remove each from one of them"
            )
        for reference in sweep.spec.references(sweep.method):
            find_loss(reference, sweep.folder)  # imported now, so that its module is part of the provenance
    with errors_located(sweep, ("space",)):
        check_calls(objective, sweep)
    return with_surrogate(objective, sweep)


def objective_of(sweep: Sweep, loss: Any) -> Objective:
    """Wrap a loss as the sweep wants it to be called."""
    table, names, block = sweep.objective, tuple(sweep.space.names), batch_block(sweep.space)
    return Objective(
        noisy(sweep, staged(sweep, loss)),
        table.reference,
        table.block,
        plain=table.plain,
        names=names,
        as_dict=table.as_dict,
        batch_block=block,
        noise=table.noise,
        threads=sweep.run.threads,
    )


def noisy(sweep: Sweep, loss: Any) -> Any:
    """Return a loss with a seed for each evaluation, if it takes one that the space does not have, or the mean of
    several evaluations; any other as it is. Raises InputError if it does not take the parameters of the space."""
    table, names = sweep.objective, sweep.space.names
    seeded = takes_seed(loss) and not table.as_dict and SEED not in (*names, *table.arguments)
    if not seeded and table.repeats == 1:
        return loss
    if table.as_dict:
        raise InputError("repeats and as_dict do not go together; wanted a loss that takes its parameters by name")
    parameters = [*names, SEED] if seeded else names
    for call, name in ((loss, table.reference), (find(loss, "losses", [], called=True), f"{table.reference}.losses")):
        if callable(call):
            check_parameters(call, name, parameters)
    return Noisy(loss, sweep.seed if seeded else None, table.repeats, common=sweep.spec.common_seed(sweep.method))


def check_calls(objective: Objective, sweep: Sweep) -> None:
    """Raise an InputError if the objective's parameters differ from the variables of the space."""
    batch_name = objective.name + (".losses" if "losses" in objective.offers.methods else "")
    for call, name in ((objective.plain_call, objective.name), (objective.batch_call, batch_name)):
        if call is not None:
            check_parameters(call, name, sweep.space.names, as_dict=objective.as_dict)
    if not sweep.space.conditional or objective.as_dict:
        return
    absent = [variable.name for variable in sweep.space.conditional]
    if objective.capabilities.losses:
        raise InputError(
            f"{', '.join(absent)}: a batch has all variables, and here some exist under a condition only; wanted "
            "plain = true in [objective], which calls the loss for one candidate at a time"
        )
    always = [name for name in sweep.space.names if name not in absent]
    if objective.plain_call is not None and (why := mismatch(objective.plain_call, always, as_dict=False)):
        raise InputError(
            f"objective {objective.name}: {', '.join(absent)} {'are' if len(absent) > 1 else 'is'} passed only where "
            f"the condition holds: {why}; give the parameter a default, e.g. {absent[0]}=None"
        )


@contextmanager
def errors_located(sweep: Sweep, key: KeyPath = ()) -> Generator[None]:
    """Prefix an InputError with the line of its key in the sweep file, by default this key, if there are both."""
    try:
        yield
    except InputError as error:
        if sweep.lines.path is None or not (error.key or key):
            raise
        raise sweep.mistake(error.key or key, str(error)) from None


def with_surrogate(objective: Objective, sweep: Sweep) -> Objective:
    """Return the objective with the surrogate for screening, if the sweep screens.

    The surrogate is built here, not on the workers, so that all workers of a node share its arrays. Like a worker, it
    is limited to one thread.
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
        with threadpool_limits(limits=objective.threads):
            loss = objective.loss.screen(choice.word, **options)
            name, block = f"{objective.name}, {choice.word}", objective.capabilities.block
            given: dict[str, Any] = {
                "names": objective.names,
                "as_dict": objective.as_dict,
                "threads": objective.threads,
            }
            surrogate = Objective(loss, name, block, **given)
    except InputError as error:
        raise sweep.mistake(("method", "screen"), str(error)) from None
    except BaseException as error:
        what = f"objective {objective.name}: its screen {choice.word!r} raised"
        raise sweep.mistake(("method", "screen"), with_trace(what, failure(error))) from None
    return replace(objective, surrogate=surrogate)
