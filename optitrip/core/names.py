"""Names of numbers that come from several sources, of which some are the user's."""

from collections.abc import Mapping
from itertools import count
from typing import TypeVar

T = TypeVar("T")


def joined_names(*tables: Mapping[str, T]) -> dict[str, T]:
    """Join tables; a name that an earlier table has ends in a number, e.g. loss_2."""
    whole: dict[str, T] = {}
    for table in tables:
        taken = set(whole)
        for name, value in table.items():
            spellings = (f"{name}_{number}" for number in count(2))
            whole[name if name not in taken else next(free for free in spellings if free not in {*whole, *table})] = (
                value
            )
    return whole
