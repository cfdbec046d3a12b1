"""The state of the process in which the user's code runs. It travels with the objective, so that a loss finds on a
worker what its module, or a notebook, has set here. optitrip's own arithmetic runs under `core.arrays.ours`.

NumPy's error state and decimal's context belong to a context, which the user's code has for itself. The other settings
belong to the whole process.
"""

import contextvars
import decimal
import locale
import pickle
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import cloudpickle
import numpy as np

from optitrip.runtime.forks import forks_end


class Setting(NamedTuple):
    """A setting of the process that can change what a loss returns."""

    read: Callable[[], Any]
    write: Callable[[Any], object]


def numpy_errors() -> Any:
    errors = np.geterr()
    return errors, np.geterrcall() if {"call", "log"} & set(errors.values()) else None


def set_numpy_errors(value: Any) -> None:
    np.seterr(**value[0])
    np.seterrcall(value[1])


def decimal_context() -> Any:
    context = decimal.getcontext().copy()
    context.clear_flags()  # every inexact result sets one
    return {name: getattr(context, name) for name in ("prec", "rounding", "Emin", "Emax", "clamp")}, [
        signal.__name__ for signal, trapped in context.traps.items() if trapped
    ]


def set_decimal_context(value: Any) -> None:
    fields, traps = value
    decimal.setcontext(decimal.Context(**fields, traps=[getattr(decimal, name) for name in traps]))


def raising_filters() -> Any:
    """Return the filters of warnings up to the last one that makes exceptions of them: the others change no answer."""
    filters = [
        (kind, getattr(text, "pattern", text), category, getattr(module, "pattern", module), line)
        for kind, text, category, module, line in warnings.filters
    ]
    while filters and filters[-1][0] != "error":
        filters.pop()
    return filters


def set_raising_filters(value: Any) -> None:
    others = warnings.filters[len(raising_filters()) :]
    warnings.resetwarnings()
    warnings.filters.extend(others)  # pyright: ignore[reportAttributeAccessIssue]
    for kind, text, category, module, line in reversed(value):
        warnings.filterwarnings(kind, text or "", category, module or "", line)


def torch_state() -> Any:
    """Return PyTorch's default type and whether it records gradients; what it starts with if it is not imported."""
    torch: Any = sys.modules.get("torch")
    with suppress(AttributeError):  # while it is imported in another thread
        return str(torch.get_default_dtype()).partition(".")[2], torch.is_grad_enabled()
    return "float32", True


def set_torch_state(value: Any) -> None:
    torch: Any = import_module("torch")
    torch.set_default_dtype(getattr(torch, value[0]))
    torch.set_grad_enabled(value[1])


def flushes_denormals() -> bool:
    """Return whether this thread's arithmetic replaces the smallest numbers by 0, as after set_flush_denormal."""
    smallest = sys.float_info.min
    return smallest / 2 == 0.0


SETTINGS = {
    "NumPy's error state": Setting(numpy_errors, set_numpy_errors),
    "the decimal context": Setting(decimal_context, set_decimal_context),
    "the recursion limit": Setting(sys.getrecursionlimit, sys.setrecursionlimit),
    "the locale": Setting(partial(locale.setlocale, locale.LC_NUMERIC), partial(locale.setlocale, locale.LC_NUMERIC)),
    "the filters of warnings": Setting(raising_filters, set_raising_filters),
    "PyTorch's settings": Setting(torch_state, set_torch_state),
}


class UserState:
    """The settings of this process when an object of this class is made, and a context to run the user's code in.

    What that code changes itself stays changed in this context, and in it alone. An object that is unpickled, e.g. in a
    worker, sets its process to the settings that it holds.
    """

    def __init__(self, packed: bytes | None = None) -> None:
        self._context = contextvars.copy_context()
        self.packed = packed_state() if packed is None else packed
        """Values of the settings by name."""
        if packed is not None:
            self.run(set_state, packed)

    def run(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function of the user's, or one that calls them."""
        with forks_end():
            return self._context.run(call, *args, **kwargs)

    def read(self) -> dict[str, Any]:
        """Return the settings as the user's code would find them now."""
        return self.run(settings)

    def __reduce__(self) -> tuple[Any, ...]:
        return UserState, (self.packed,)


def settings() -> dict[str, Any]:
    """Return the settings of this process and thread, to be compared."""
    found = {name: setting.read() for name, setting in SETTINGS.items()}
    # Many libraries have some warnings ignored when they are imported.
    found["the filters of warnings"] = [entry for entry in found["the filters of warnings"] if entry[0] == "error"]
    return found


def packed_state() -> bytes:
    """Return the settings of this process and thread, pickled, without those that cannot travel."""
    packed: dict[str, bytes] = {}
    for name, setting in SETTINGS.items():
        with suppress(Exception):  # e.g. np.seterrcall(file)
            packed[name] = cloudpickle.dumps(setting.read())
    return pickle.dumps(packed)


def set_state(packed: bytes) -> None:
    for name, value in pickle.loads(packed).items():
        if (wanted := pickle.loads(value)) != SETTINGS[name].read():
            SETTINGS[name].write(wanted)
