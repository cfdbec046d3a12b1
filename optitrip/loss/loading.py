"""Loading "module:name" into an objective, and every mistake that can be made on the way."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from optitrip.config.sweep import Sweep
from optitrip.config.tables import ObjectiveTable
from optitrip.errors import InputError, nearest
from optitrip.loss.objective import Objective


def import_paths(folder: Path) -> tuple[str, ...]:
    """Where modules are looked up before the installed packages: the sweep file's folder, the working directory."""
    return tuple(dict.fromkeys([str(folder), str(Path.cwd())]))


def use_import_paths(paths: Sequence[str]) -> None:
    """Put the paths first in this process, as the interpreter does with a script's folder."""
    sys.path[:] = [*paths, *(entry for entry in sys.path if entry not in paths)]
    importlib.invalidate_caches()


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
        objective = Objective(build(named, table), table.reference, table.block, plain=table.plain)
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
    offered = objective.offers.screens
    if choice.word not in offered:
        what = f"{objective.name} offers no screen {choice.word!r}"
        why = nearest(choice.word, list(offered)) if offered else "wanted an objective with `screens` and `screen`"
        raise sweep.mistake(("method", "screen"), f"{what}; {why}" + (" (plain is set)" if objective.plain else ""))
    options = {"device": choice.device} if choice.device else {}
    try:
        with threadpool_limits(limits=1):
            made = objective.loss.screen(choice.word, **options)
            surrogate = Objective(made, f"{objective.name}, {choice.word}", objective.offers.block)
    except InputError as error:
        raise sweep.mistake(("method", "screen"), str(error)) from None
    except (Exception, SystemExit) as error:
        raise InputError(raised(f"objective {objective.name}: its screen {choice.word!r} raised", error)) from None
    return replace(objective, surrogate=surrogate)


def find(reference: str, folder: Path) -> Any:
    """The object that `module:name` names."""
    module_name, _, attribute = reference.partition(":")
    check_same_module(reference, module_name, import_paths(folder))
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            looked = ", ".join(import_paths(folder))
            raise InputError(
                f"objective {reference}: there is no module {error.name!r} in {looked} or among the installed packages"
            ) from None
        raise InputError(raised(f"objective {reference}: importing {module_name} raised", error)) from None
    except (Exception, SystemExit) as error:
        raise InputError(raised(f"objective {reference}: importing {module_name} raised", error)) from None
    if getattr(found, "__file__", None):
        source_hash(found)  # to know it again
    for name in attribute.split("."):
        if not hasattr(found, name):
            public = [known for known in dir(found) if not known.startswith("_")]
            raise InputError(f"objective {reference}: {module_name} has no {name!r}; {nearest(name, public)}")
        found = getattr(found, name)
    return found


def check_same_module(reference: str, name: str, paths: Sequence[str]) -> None:
    """Go on unless this process holds another module of this name: one from another folder, or one since edited.

    Raises:
        InputError: with what differs; Python would go on with what it holds.
    """
    loaded = getattr(sys.modules.get(name), "__file__", None)
    places = [Path(path, *name.split(".")) for path in paths]
    found = [file for place in places for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()]
    if loaded and found and Path(loaded).resolve() != found[0].resolve():
        raise InputError(
            f"objective {reference}: its module is {found[0]}, but this process has imported {name} from {loaded}; "
            "rename one of them, or use another process"
        )
    if loaded and source_hash(sys.modules[name]) is None:
        raise InputError(
            f"objective {reference}: {loaded} has changed since this process imported it; restart, or importlib.reload"
        )


def source_hash(module: Any) -> str | None:
    """A hash of a module's source, the same as when this was first asked of it; None if the file has changed since."""
    now = hashlib.blake2b(Path(module.__file__).read_bytes(), digest_size=8).hexdigest()
    # Kept on the module itself: a module that is imported anew starts anew.
    first = vars(module).setdefault("__optitrip_source__", now)
    return now if first == now else None


def build(named: Any, table: ObjectiveTable) -> Any:
    """The loss: a class or factory called with the arguments, or a function with the arguments bound to it."""
    offers = any(hasattr(named, step) for step in ("losses", "gradient", "report")) and not inspect.isclass(named)
    if not callable(named) or (offers and not table.make):
        if table.arguments or table.make:
            raise InputError(
                f"objective {table.reference} is a {type(named).__name__}, made already, which takes no arguments; "
                "name its class, or a factory with make ="
            )
        return named
    is_function = table.loss is not None and not inspect.isclass(named)
    check_arguments(named, table, partially=is_function)
    if is_function:
        return partial(named, **table.arguments) if table.arguments else named
    try:
        return named(**table.arguments)
    except InputError as error:
        raise InputError(f"objective {table.reference}: {error}") from None
    except (Exception, SystemExit) as error:
        raise InputError(raised(f"objective {table.reference}: building it raised", error)) from None


def check_arguments(named: Callable[..., Any], table: ObjectiveTable, *, partially: bool) -> None:
    signature = signature_of(named)
    if signature is None:
        return
    try:
        (signature.bind_partial if partially else signature.bind)(**table.arguments)
    except TypeError as error:
        raise InputError(
            f"objective {table.reference}: the arguments do not fit: {error}; "
            f"it takes {signature}, [objective.arguments] has {', '.join(table.arguments) or 'none'}"
        ) from None


def check_parameters(call: Callable[..., Any], reference: str, names: Sequence[str]) -> None:
    signature = signature_of(call)
    if signature is None:
        return
    try:
        signature.bind(**dict.fromkeys(names))
    except TypeError as error:
        takes = ", ".join(str(parameter) for parameter in signature.parameters.values()) or "none"
        raise InputError(
            f"objective {reference} takes other parameters than the space has: {error}\n"
            f"  the objective takes: {takes}\n  the space has:       {', '.join(names)}"
        ) from None


def signature_of(call: Callable[..., Any]) -> inspect.Signature | None:
    """The signature, or None for the few callables of C that have none."""
    try:
        return inspect.signature(call)
    except (TypeError, ValueError):
        return None


def raised(what: str, error: BaseException) -> str:
    """The user's own traceback, without the frames that led to it."""
    trace = error.__traceback__
    while trace and trace.tb_next and leads_there(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace)
    return f"{what}:\n{''.join(lines).rstrip()}"


def leads_there(file: str) -> bool:
    """Whether a frame's file is ours, a built-in loss excepted, or Python's own import machinery."""
    package = Path(__file__).parents[1]
    ours = Path(file).is_relative_to(package) and not Path(file).is_relative_to(package / "objectives")
    return ours or file == importlib.__file__ or file.startswith("<frozen importlib")
