"""Has a worker import the module that the sweep names before anything else of the user's."""

from importlib import import_module
from typing import Any

from optitrip.runtime.imports import own_modules
from optitrip.runtime.interrupts import no_failures


class ImportFirst:
    """Has a worker import the module that the sweep names before it unpickles what follows: the loss may come from
    another module, in a folder that this one puts on `sys.path`."""

    def __init__(self, objective: Any) -> None:
        self._module = str(getattr(objective, "name", "")).partition(":")[0]

    def __reduce__(self) -> tuple[Any, ...]:
        named = self._module if self._module in dict(own_modules()) else "sys"
        return import_named, (named,)


def import_named(module: str) -> None:
    with no_failures():  # if the loss needs it, unpickling says what is wrong
        import_module(module)
