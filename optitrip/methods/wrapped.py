"""A stage of one method that is part of another: evaluated as it is, under the name of the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from optitrip.core.arrays import Array
from optitrip.core.failures import Problems
from optitrip.core.method import Method, Route, StopRule, digest_of
from optitrip.core.part import Part
from optitrip.methods.shared import MethodBase


@dataclass(frozen=True)
class Wrapped(MethodBase):
    """A stage that does what `inner` does; a subclass has its own `kind`, and says what else differs."""

    inner: Method

    @property
    def items(self) -> int:
        return self.inner.items

    @property
    def required_prefix(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.inner.required_prefix

    @property
    def block(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.inner.block

    @property
    def preparation(self) -> bytes:
        return self.inner.preparation

    def stop_rule(self) -> StopRule:
        return self.inner.stop_rule()

    def digest(self) -> bytes:
        return digest_of(self.kind, {"inner": self.inner.digest().hex()})

    def prepare(self, objective: Any) -> Any:
        return self.inner.prepare(objective)

    def evaluate(self, context: Any, items: range) -> Part:
        return self.inner.evaluate(context, items)

    def evaluations(self, items: range) -> int:
        return self.inner.evaluations(items)

    def failed_part(self, items: range, problems: Problems) -> Part:
        return self.inner.failed_part(items, problems)

    def merge(self, *parts: Part) -> Part:
        return self.inner.merge(*parts)

    def replaced(self, whole: Part, retried: Sequence[Part]) -> Part:
        return self.inner.replaced(whole, retried)

    def witness(self, part: Part) -> tuple[int, float] | None:
        return self.inner.witness(part)

    def result(self, whole: Part) -> Any:
        return self.inner.result(whole)

    def sides(self, item: int) -> int:
        return self.inner.sides(item)

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        return self.inner.point(item, side)

    def title(self, item: int, side: int | None = 0) -> str:
        return self.inner.title(item, side)


def with_stages(route: Route, change: Callable[[Method], Method]) -> Route:
    """Yield the stages of a route, each changed; return what the route returns."""
    result: Any = None
    while True:
        try:
            method = route.send(result)
        except StopIteration as end:
            return end.value
        result = yield change(method)
