"""The functions of the package that open a session for one call: `search`, `gradient`, `descend` and others."""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, Unpack

from optitrip.api.inputs import draft_of
from optitrip.api.options import RunOptions, takes_options
from optitrip.api.session import Session
from optitrip.api.stepping import Steps
from optitrip.executors.manager import executor_word, isolated

P = ParamSpec("P")
R = TypeVar("R")


def run_table(path_or_table: str | Path | Mapping[str, Any], **_: Unpack[RunOptions]) -> RunOptions:
    """Return the options in the [run] table of a sweep file."""
    draft = draft_of(path_or_table)
    run, executor = draft.run, executor_word(draft.run, draft.failures)
    if draft.program is not None:  # it has a time limit of its own, and is always in another process
        return {"workers": run.workers, "executor": run.executor, "resources": run.needs}
    return {"workers": run.workers, "executor": executor, "resources": run.needs, "isolate": isolated(draft)}


def in_new_session(
    method: Callable[Concatenate[Session, P], R], defaults: Callable[P, RunOptions] | None = None
) -> Callable[P, R]:
    """Turn a method into a function that opens a session for one call, and takes all options of the session."""
    written: Any = inspect.unwrap(method)

    @wraps(written)
    def function(*args: P.args, **kwargs: P.kwargs) -> R:
        options: Any = {name: kwargs.pop(name) for name in RunOptions.__annotations__ if name in kwargs}
        options = {**defaults(*args, **kwargs), **options} if defaults else options
        with Session(**options) as session:
            return method(session, *args, **kwargs)

    _, *parameters = inspect.signature(written).parameters.values()
    known = {*RunOptions.__annotations__, *inspect.signature(written).parameters}
    own = [name for name in inspect.signature(method).parameters if name not in known]
    function.__qualname__ = written.__name__
    vars(function)["__signature__"] = inspect.Signature(parameters)
    return takes_options([*own, *RunOptions.__annotations__])(function)


search = in_new_session(Session.search)
ask_tell = in_new_session(Session.ask_tell)
gradient = in_new_session(Session.gradient)
estimate = in_new_session(Session.estimate)
directional = in_new_session(Session.directional)
sensitivity = in_new_session(Session.sensitivity)
descend = in_new_session(Session.descend)


def descent(loss: Any, x: Any, **arguments: Any) -> Steps:
    options: Any = {name: arguments.pop(name) for name in RunOptions.__annotations__ if name in arguments}
    inspect.signature(descend).bind(loss, x, **arguments)
    return steps_in_new_session(options, loss, x, arguments)


descent.__doc__ = Session.descent.__doc__
vars(descent)["__signature__"] = inspect.signature(descend).replace(return_annotation=Steps)


def steps_in_new_session(options: Any, loss: Any, x: Any, arguments: Mapping[str, Any]) -> Steps:
    """Yield the steps of a descent in a session that ends with them; return the answer."""
    with Session(**options) as session:
        return (yield from session.descent(loss, x, **arguments))


sweep = in_new_session(Session.sweep, run_table)
