"""Compares the numeric gradient with the objective's own, coordinate by coordinate.

An entry is wrong if it lies outside of what the numeric one and its error allow, by more than rounding. The scale of
relative errors is that of the Stanford CS231n notes, "Gradient checks".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.methods.gradient.checking.intervals import Intervals, intervals, widened
from optitrip.methods.gradient.flags import KINK, UNCHANGED
from optitrip.methods.gradient.result import GradientResult

ROUNDED, TINY = 1e-8, 1e-13
"""Relative difference that is rounding in the analytic gradient: of an entry, and of the largest entry. Entries are
compared by how much a step changes the loss, since those of variables of other scales differ by any factor."""
ROUNDED_SINGLE, TINY_SINGLE = 1e-5, 1e-6
"""Such differences for entries by variables of float32, in which their gradient is computed."""
SINGLE = float(np.finfo(np.float32).eps)
SCALE = ((1e-2, "wrong"), (1e-4, "suspicious"), (1e-7, "all right with kinks, else too large"), (0.0, "good"))
"""Lower ends of the ranges of relative errors in the CS231n notes, and what the notes call them."""


class Tally(NamedTuple):
    """Numbers of coordinates of a variable."""

    judged: int
    wrong: int
    largest: float
    """Largest relative error of an entry that is above its error; 0 if none is."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Both gradients along the coordinates that were requested; arrays of shape (coordinates,)."""

    result: GradientResult
    analytic: Array
    """Entries of the analytic gradient, float64."""
    again: tuple[GradientResult, ...] = ()
    """Differences with other steps along coordinates that looked wrong."""

    @cached_property
    def intervals(self) -> Intervals:
        """Intervals in which an entry of a right gradient lies, rounding in the analytic one apart."""
        found = intervals(self.result)
        for again in self.again:
            found = widened(self.result, again, found)
        return found

    @cached_property
    def judged(self) -> Array:
        """True where the losses tell something of the entry; bool."""
        return np.isfinite(self.intervals.low)

    @property
    def at_kinks(self) -> Array:
        """True where the entry is only known to lie between the slopes to both sides of a kink; bool."""
        return self.judged & (self.result.flag & KINK > 0)

    @cached_property
    @ours()
    def size(self) -> Array:
        """Larger magnitude of both entries, float64."""
        return np.maximum(np.abs(self.analytic), np.abs(self.result.found.value))

    @cached_property
    @ours()
    def relative(self) -> Array:
        """Relative errors |a - n| / max(|a|, |n|), float64; 0 where both are 0."""
        difference = np.abs(self.analytic - self.result.found.value)
        return np.where(self.size > 0, difference / self.size, np.where(np.isnan(self.size), np.nan, 0.0))

    @cached_property
    @ours()
    def rounding(self) -> Array:
        """Difference that is rounding in the analytic gradient, float64."""
        center, found = self.result.center, self.result.found
        single = np.zeros(len(self.analytic), bool)
        for name, rows, _ in center.split(self.result.coordinates):
            single[rows] = center.values[name].dtype.itemsize < 8
        step = np.abs(self.result.step)
        clear = self.judged & (np.abs(found.value) > found.error)
        largest = np.max((np.abs(found.value) * step)[clear], initial=0.0)
        tiny = np.where(step > 0, largest / step, 0.0)
        of_all = np.where(single, TINY_SINGLE, TINY) * tiny
        return np.fmax(np.where(single, ROUNDED_SINGLE, ROUNDED) * self.size, of_all)

    @cached_property
    @ours()
    def wrong(self) -> Array:
        """True where the analytic gradient is wrong; bool."""
        low, high = self.intervals
        rounding = np.where(np.isfinite(self.rounding), self.rounding, 0.0)
        return self.judged & ~((self.analytic >= low - rounding) & (self.analytic <= high + rounding))

    @cached_property
    @ours()
    def coarseness(self) -> Array:
        """Half of the length of the interval in which an entry passes, relative to the entry, float64; 1 or more where
        one that is wrong by a factor of two could pass."""
        half = (self.intervals.high - self.intervals.low) / 2 + self.rounding
        return np.where(self.size > 0, half / self.size, np.inf)

    @cached_property
    def clear(self) -> Array:
        """True where the comparison is finer than the entry; bool."""
        with ours():
            return self.judged & (self.coarseness < 1)

    @property
    def told(self) -> Array:
        """True where the relative error tells something: above the error, or wrong; bool."""
        return self.clear | self.wrong

    @property
    def fineness(self) -> float:
        """Median of `coarseness` where it is below 1; NaN if it is nowhere."""
        return float(np.median(self.coarseness[self.clear])) if self.clear.any() else np.nan

    @property
    def ok(self) -> bool:
        """True if some coordinates could be compared and none is wrong."""
        return bool(self.judged.any()) and not self.wrong.any()

    @property
    def weak(self) -> str:
        """Reason why an agreement shows little; empty if it shows much, or there is none."""
        if not self.ok or 2 * np.count_nonzero(self.clear) >= np.count_nonzero(self.judged):
            return ""
        return "most entries are no larger than their errors here, so this shows little; check at another x, too"

    @property
    def verdict(self) -> str:
        """Result of the comparison in a few words."""
        count, judged = int(self.wrong.sum()), int(self.judged.sum())
        if count:
            of = f"{count:,} of {judged:,} coordinate{'s' if judged > 1 else ''}"
            return f"is WRONG along {of}, {self.texts(1)[0]}{self.narrow}"
        if not judged:
            return "could not be compared: every coordinate is missing, or at a kink and known from one side"
        of = f" of {self.result.center.size:,}" if len(self.analytic) < self.result.center.size else ""
        text = f"agrees along {judged:,}{of} coordinate{'s' if judged > 1 or of else ''}{self.how_fine()}"
        return f"{text}; {self.weak}" if self.weak else text

    def how_fine(self) -> str:
        """Return how fine the comparison was, as a continuation of a sentence."""
        fine = f", to {self.fineness:.1g} of an entry in the median" if self.clear.any() else ""
        unchanged = self.judged & ~self.clear & (self.result.flag & UNCHANGED > 0)
        rest = self.judged & ~self.clear & ~unchanged & ~self.at_kinks
        counts = {
            "between the slopes to both sides of a kink": int(self.at_kinks.sum()),
            "no change of the loss": int(unchanged.sum()),
            "below the error": int(rest.sum()),
        }
        told = ", ".join(f"{what}: {count:,}" for what, count in counts.items() if count)
        return f"{fine} ({told})" if told else fine

    @property
    def narrow(self) -> str:
        """Remark on a gradient that is wrong because it is of float32 only; else empty."""
        off, wrong = self.relative[self.wrong], self.analytic[self.wrong]
        with ours():
            single = np.array_equal(wrong, wrong.astype(np.float32).astype(np.float64))
        return ". The entries are float32 numbers: is it cast?" if single and np.all(off <= 2 * SINGLE) else ""

    def worst(self, count: int) -> Array:
        """Return the rows with the largest disagreement: wrong ones first, then those above their errors."""
        relative = np.nan_to_num(self.relative, nan=np.inf)
        keys = (np.arange(len(relative)), -relative, ~self.clear, ~self.wrong, ~self.judged)
        return np.lexsort(keys)[: min(count, int(self.judged.sum()))]

    def texts(self, count: int) -> list[str]:
        """Describe the rows with the largest disagreement."""
        return [self.text(int(row)) for row in self.worst(count)]

    def text(self, row: int) -> str:
        """Describe a row."""
        found, title = self.result.found, self.result.center.title(int(self.result.coordinates[row]))
        head = f"{title}: analytic {self.analytic[row]:.8g}, "
        step = f"(step {self.result.step[row]:.1g})"
        if self.at_kinks[row]:
            low, high = self.intervals.low[row], self.intervals.high[row]
            return f"{head}slopes at a kink from {low:.6g} to {high:.6g} {step}"
        head += f"numeric {found.value[row]:.8g} +- {found.error[row]:.1g} {step}"
        if not self.told[row]:
            return f"{head}, below the error"
        if not np.isfinite(self.analytic[row]):
            return f"{head}, not finite"
        return f"{head}, relative error {self.relative[row]:.2g}, {called(float(self.relative[row]))}"

    def by_variable(self) -> Mapping[str, Tally]:
        """Return the numbers of compared and of wrong coordinates and the largest relative error, by variable."""
        found: dict[str, Tally] = {}
        told = self.told
        for name, rows, _ in self.result.center.split(self.result.coordinates):
            largest = float(np.max(self.relative[rows][told[rows]], initial=0.0))
            found[name] = Tally(int(self.judged[rows].sum()), int(self.wrong[rows].sum()), largest)
        return found


def called(relative: float) -> str:
    """Return what the CS231n notes call a relative error."""
    if relative != relative:
        return "not finite"
    return next((word for least, word in SCALE if relative > least), "good")
