"""Base classes of the facts that a journal stores, and checks of what is read back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self, TypeVar

T = TypeVar("T")


class Fact(ABC):
    """Something that the journal stores under a key."""

    @property
    @abstractmethod
    def key(self) -> str:
        """Return the key in the journal."""

    @abstractmethod
    def to_json(self) -> Any:
        """Return the fact as it is stored."""


@dataclass(frozen=True)
class SweepFact(Fact):
    """A fact of which a journal has at most one; by default a table of its fields."""

    KEY: ClassVar[str]

    @property
    def key(self) -> str:
        return self.KEY

    def to_json(self) -> Any:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    @abstractmethod
    def from_json(cls, value: Any) -> Self:
        """Make the fact from what is stored.

        Raises:
            ValueError: if that is not of this fact's form.
        """


def typed(value: Any, kind: type[T]) -> T:
    """Return a value of exactly this type: to JSON, true is not a number.

    Raises:
        ValueError: if it is of another type.
    """
    if type(value) is not kind:
        raise ValueError(f"wanted {kind.__name__}, found {value!r:.60}")
    return value


def optional(value: Any, kind: type[T]) -> T | None:
    """Return a value of exactly this type, or None.

    Raises:
        ValueError: if it is of another type.
    """
    return None if value is None else typed(value, kind)


def entries(value: Any, kind: type[Any]) -> dict[str, Any]:
    """Return a table that has an entry for every field of a dataclass.

    Raises:
        ValueError: if it is no table, or entries are missing.
    """
    table: dict[str, Any] = typed(value, dict)
    missing = [field.name for field in fields(kind) if field.name not in table]
    if missing:
        raise ValueError(f"it has no {', no '.join(missing)}")
    return table
