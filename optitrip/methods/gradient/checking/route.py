"""The stages after a numeric gradient that compare it with the analytic one."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from optitrip.core.method import Method
from optitrip.core.point import Limits
from optitrip.methods.gradient.checking.recheck import rechecked
from optitrip.methods.gradient.checking.taylor import Remainders, TaylorLine, on_line

if TYPE_CHECKING:
    from optitrip.methods.gradient.answer import GradientAnswer


def checked(answer: GradientAnswer, seed: int, limits: Limits | None) -> Generator[Method, Any, GradientAnswer]:
    """Yield the stages that compare an answer's analytic gradient; return the answer with what they show."""
    if answer.comparison is None or answer.analytic is None:
        return answer
    comparison = yield from rechecked(answer.method, answer.comparison)
    line = TaylorLine(answer.method.center, seed, limits)
    losses = yield Remainders(line)
    shown = {} if losses is None else {"on_line": on_line(line, losses, answer.analytic, answer.measured)}
    return replace(answer, again=comparison.again, **shown)
