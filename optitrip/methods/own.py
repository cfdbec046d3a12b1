"""The user's own parts of a method, e.g. an update rule, which are named as module:name, or in Python objects."""

from typing import Any


def is_reference(name: str) -> bool:
    """Return whether a function or class is named as module:name."""
    module, _, attribute = name.partition(":")
    return bool(module and attribute)


def name_of(given: Any) -> str:
    """Return the name of something that is given by name, or as a Python object."""
    if isinstance(given, str):
        return given
    return f"{getattr(given, '__module__', '')}:{getattr(given, '__qualname__', type(given).__qualname__)}"
