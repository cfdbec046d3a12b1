"""Imports the object named "module:name" and builds the loss from it, with a message for each kind of mistake."""

import importlib
import inspect
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from optitrip.core.differences import nearest
from optitrip.errors import InputError
from optitrip.loss.offers import find
from optitrip.loss.passing import signature_of
from optitrip.runtime.imports import check_same_module, file_of, import_paths, source_hash
from optitrip.runtime.interrupts import failure
from optitrip.runtime.tracebacks import with_trace

OBJECT_METHODS = ("losses", "gradient", "report")
"""Methods that show that what a reference names is an object, already built, and not a function."""


def find_loss(reference: str, folder: Path, what: str = "objective") -> Any:
    """Import the object that `module:name` names; raise InputError, which says `what` it was to be, if that fails."""
    module_name, _, attribute = reference.partition(":")
    paths = import_paths(folder)
    check_same_module(reference, module_name, paths)
    try:
        found: Any = importlib.import_module(module_name)
    except BaseException as raised:
        error = failure(raised)
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{module_name}.".startswith(f"{missing}."):
            top, *_ = module_name.split(".")
            files = [Path(path, *module_name.split(".")).with_suffix(".py") for path in paths]
            if "." in missing and (file := next((file for file in files if file.is_file()), None)):
                raise InputError(
                    f"{what} {reference}: its module is {file}, but Python finds another package {top!r} first; "
                    "rename the folder"
                ) from None
            raise InputError(
                f"{what} {reference}: there is no module {missing!r} in {', '.join(paths)} "
                "or among the installed packages"
            ) from None
        raise InputError(with_trace(f"{what} {reference}: importing {module_name} raised", error)) from None
    if file_of(found) is not None:
        source_hash(found)  # stored now, so that a later change is noticed
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            public = [known for known in dir(found) if not known.startswith("_")]
            message = f"{what} {reference}: {module_name} has no {name!r}; {nearest(name, public)}"
            raise InputError(message) from None
        except BaseException as raised:  # e.g. the module's own __getattr__
            reading = f"{what} {reference}: reading {name!r} raised"
            raise InputError(with_trace(reading, failure(raised))) from None
    return found


def build(target: Any, reference: str, arguments: Mapping[str, Any], *, factory: bool) -> Any:
    """Return the loss: a class or factory called with the arguments, or a function with the arguments bound to it."""
    is_class = inspect.isclass(target)
    is_object = not is_class and any(find(target, method, [], called=True) is not None for method in OBJECT_METHODS)
    if not callable(target) or (is_object and not factory):
        if arguments or factory:
            raise InputError(
                f"objective {reference} is a {type(target).__name__}, already built, which takes no arguments; "
                "give them to its class, or name a factory with make ="
            )
        return target
    is_function = not factory and not is_class
    if (signature := signature_of(target)) is not None:
        try:
            (signature.bind_partial if is_function else signature.bind)(**arguments)
        except TypeError as error:
            raise InputError(
                f"objective {reference}: the arguments do not fit: {error}; "
                f"it takes {signature}, [objective.arguments] has {', '.join(arguments) or 'none'}"
            ) from None
    if is_function:
        return partial(target, **arguments) if arguments else target
    try:
        return target(**arguments)
    except InputError as error:
        raise InputError(f"objective {reference}: {error}") from None
    except BaseException as error:
        raise InputError(with_trace(f"objective {reference}: building it raised", failure(error))) from None
