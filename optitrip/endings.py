"""What is said of how a sweep ended."""

from __future__ import annotations

from collections.abc import Callable

from optitrip.draws import Draws
from optitrip.driver.watch import Progress
from optitrip.errors import Stopped
from optitrip.methods.search.answer import Best, SearchAnswer
from optitrip.output.answer import Answer
from optitrip.output.outcome import Outcome
from optitrip.spec import Sweep
from optitrip.tables import SearchTable


def ended_early(sweep: Sweep, answer: Answer) -> str:
    """Why a search has fewer candidates than it might; empty if it has all."""
    if answer.items == sweep.items or not isinstance(answer, SearchAnswer):
        return ""
    stop, best = sweep.stop, answer.best
    if stop.target_loss is not None and best.index == answer.items - 1:
        return f"candidate {best.index:,} met the target of {stop.target_loss:g}: the search ends there"
    return f"no improvement in {stop.no_improvement:,} candidates: the search ends at {answer.items:,}"


def stopped(
    error: BaseException, sweep: Sweep, progress: Progress, outcome: Callable[..., Outcome], *, kept: bool
) -> Outcome:
    """How a sweep stands that was stopped in its middle."""
    best = None
    if progress.index >= 0 and isinstance(sweep.method, SearchTable):
        draws = Draws(sweep.space, sweep.seed, sweep.method.sampler)
        best = Best(progress.loss, progress.index, draws, sweep.objective.maximize)
    done = f"{str(error) or 'interrupted'}: {progress.done:,} of {sweep.items:,} {sweep.unit}"
    message = f"{done} are kept. The same command goes on from here." if kept else f"{done} were evaluated"
    status = error.status if isinstance(error, Stopped) else 130 if isinstance(error, KeyboardInterrupt) else 75
    return outcome("stopped", progress.done, best=best, message=message, exit_status=status)
