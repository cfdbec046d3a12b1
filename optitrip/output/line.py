"""The line that shows how far a sweep is; a terminal and a notebook show it each in its own way."""

from collections.abc import Callable, Sequence

from optitrip.core.method import Method
from optitrip.core.notice import Notice
from optitrip.core.observer import Observer, Progress, Running, Times, Written
from optitrip.core.part import Part
from optitrip.output.rate import Rate
from optitrip.output.text import compact

SLOW_SECONDS = 2.0
"""Seconds after which it is told what is evaluated now."""


class Line(Observer):
    """Progress of the main stages in words, with the rate and the time left."""

    def __init__(self, counted: Progress, now: Callable[[], float]) -> None:
        self._counted, self._now, self._rate = counted, now, Rate()
        self._running: Sequence[Running] = ()

    def stage(self, method: Method) -> None:
        self._counted.stage(method)
        self._rate, self._running = Rate(), ()

    def notice(self, notice: Notice) -> None:
        if notice.code == "executor":  # other workers, with a rate of their own
            self._rate.restart()

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        if not self._counted.is_main:
            return
        self._counted.parts(written, new=new)
        if new:  # items from an earlier run say nothing about this rate
            self._rate.see(self._now(), self._counted.done)

    def retried(self, part: Part, times: Times) -> None:
        self._counted.retried(part, times)

    def running(self, slices: Sequence[Running]) -> None:
        self._running = slices

    @property
    def slow(self) -> bool:
        """True if what runs now has taken long enough to be told."""
        return any(self._now() - one.since > SLOW_SECONDS for one in self._running)

    def text(self, width: int | None = None) -> str:
        """Return the longest form of the line that fits in a width; what runs now is the first to go, if it has taken
        long, and the time left and the best are the last."""
        line = self._progress(width)
        for count in range(len(self._running), 0, -1) if self.slow else ():
            longer = f"{line} | {running_words(self._running, self._now(), count)}"
            if width is None or len(longer) <= width:
                return longer
        return line

    def _progress(self, width: int | None) -> str:
        if not self._counted.done:
            return f"0 of {self._counted.total:,}"
        words, few, rate = self._counted.words(), self._counted.few_words(), self._rate.per_second
        seconds = self._rate.seconds_left(self._now(), self._counted.total)
        if not rate or seconds is None:
            return words if width is None or len(words) <= width else few
        left = f"{duration(seconds)} left"
        number = f"{rate:,.0f}" if rate >= 10 else f"{rate:.3g}"
        forms = [f"{words} | {number}/s | {left}", f"{few} | {compact(rate)}/s | {left}", f"{few} | {left}"]
        return next((form for form in forms if width is None or len(form) <= width), f"{left} | {few}")


def running_words(slices: Sequence[Running], now: float, count: int) -> str:
    """Return which items are evaluated now, and for how long, the oldest first; of so many slices at most."""
    ordered = sorted(slices, key=lambda one: one.since)
    shown = [f"{items_words(one.items)} for {duration(now - one.since)}" for one in ordered[:count]]
    others = len(ordered) - len(shown)
    return f"now {', '.join(shown)}" + (f" and {others} more" if others else "")


def items_words(items: range) -> str:
    return f"{items.start:,}" if len(items) == 1 else f"{items.start:,}-{items.stop - 1:,}"


def duration(seconds: float) -> str:
    """Return a number of seconds as minutes and seconds, with hours if there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
