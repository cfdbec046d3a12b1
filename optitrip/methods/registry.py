"""All methods by the word that selects them. To add one, add its folder and a line here; it is imported when used."""

from importlib import import_module
from typing import Any

from optitrip.methods.spec import MethodSpec

METHODS: dict[str, str] = {
    "search": "optitrip.methods.search.spec:SPEC",
    "gradient": "optitrip.methods.gradient.spec:SPEC",
    "estimate": "optitrip.methods.estimate.spec:SPEC",
    "directional": "optitrip.methods.directional.spec:SPEC",
    "adaptive": "optitrip.methods.adaptive.spec:SPEC",
    "sensitivity": "optitrip.methods.sensitivity.spec:SPEC",
    "local_search": "optitrip.methods.local_search.spec:SPEC",
    "descent": "optitrip.methods.descent.spec:SPEC",
    "trip": "optitrip.methods.trip.spec:SPEC",
}
LEGS = "trip"
"""Word of the method that is made of the tables [[leg]], in place of [method]."""


def find(word: str) -> MethodSpec[Any]:
    """Return the descriptor of a method; raises KeyError for an unknown word."""
    module, _, name = METHODS[word].partition(":")
    return getattr(import_module(module), name)
