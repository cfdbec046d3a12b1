"""Loading "module:name" into an objective, and every mistake that can be made on the way."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from optitrip.core.suggest import nearest
from optitrip.errors import InputError
from optitrip.runtime.imports import check_same_module, import_paths, source_hash
from optitrip.runtime.tracebacks import with_trace


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
        raise InputError(with_trace(f"objective {reference}: importing {module_name} raised", error)) from None
    except (Exception, SystemExit) as error:
        raise InputError(with_trace(f"objective {reference}: importing {module_name} raised", error)) from None
    if getattr(found, "__file__", None):
        source_hash(found)  # to know it again
    for name in attribute.split("."):
        if not hasattr(found, name):
            public = [known for known in dir(found) if not known.startswith("_")]
            raise InputError(f"objective {reference}: {module_name} has no {name!r}; {nearest(name, public)}")
        found = getattr(found, name)
    return found


def build(named: Any, reference: str, arguments: Mapping[str, Any], *, factory: bool) -> Any:
    """The loss: a class or factory called with the arguments, or a function with the arguments bound to it."""
    capabilities = any(hasattr(named, step) for step in ("losses", "gradient", "report")) and not inspect.isclass(named)
    if not callable(named) or (capabilities and not factory):
        if arguments or factory:
            raise InputError(
                f"objective {reference} is a {type(named).__name__}, made already, which takes no arguments; "
                "name its class, or a factory with make ="
            )
        return named
    is_function = not factory and not inspect.isclass(named)
    check_arguments(named, reference, arguments, partially=is_function)
    if is_function:
        return partial(named, **arguments) if arguments else named
    try:
        return named(**arguments)
    except InputError as error:
        raise InputError(f"objective {reference}: {error}") from None
    except (Exception, SystemExit) as error:
        raise InputError(with_trace(f"objective {reference}: building it raised", error)) from None


def check_arguments(
    named: Callable[..., Any], reference: str, arguments: Mapping[str, Any], *, partially: bool
) -> None:
    signature = signature_of(named)
    if signature is None:
        return
    try:
        (signature.bind_partial if partially else signature.bind)(**arguments)
    except TypeError as error:
        raise InputError(
            f"objective {reference}: the arguments do not fit: {error}; "
            f"it takes {signature}, [objective.arguments] has {', '.join(arguments) or 'none'}"
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
