"""All methods there are, by word. To add one, add its folder and its line here; it is imported when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from optitrip.methods.spec import MethodSpec

METHODS: dict[str, str] = {
    "search": "optitrip.methods.search.spec:SPEC",
    "gradient": "optitrip.methods.gradient.spec:SPEC",
}


def find(word: str) -> MethodSpec[Any]:
    """Return the descriptor of a method; raises KeyError if there is none of this word."""
    module, _, name = METHODS[word].partition(":")
    return getattr(import_module(module), name)
