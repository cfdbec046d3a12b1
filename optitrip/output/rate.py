"""The rate of a running sweep, from the moments at which parts arrive."""

from collections import deque
from itertools import pairwise

WINDOW_SECONDS = 30.0
"""Seconds over which the rate is measured."""
LEAST_SECONDS = 0.5
"""Least seconds over which it is measured."""
APART_SECONDS = 0.05
"""Least seconds between two moments that are remembered."""


class Rate:
    """Items per second. It is measured from the first parts on, not from the start: that would count the wait for
    workers. As the parts of several workers often arrive together, it is measured from the end of such a group, which
    is before the largest gap of the first half."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        self.per_second: float | None = None
        """Latest rate; None until there is one."""

    def restart(self) -> None:
        """Forget the moments, e.g. when other workers take over; the rate stays until there is a new one."""
        self._samples.clear()

    def see(self, now: float, done: int) -> None:
        """Receive the number of finished items at a moment."""
        if len(self._samples) > 1 and now - self._samples[-2][0] < APART_SECONDS:
            self._samples.pop()
        self._samples.append((now, done))
        while now - self._samples[0][0] > WINDOW_SECONDS and len(self._samples) > 2:
            self._samples.popleft()
        first = self._samples[0][0]
        if now - first < LEAST_SECONDS:
            return
        gaps = [(later[0] - one[0], *one) for one, later in pairwise(self._samples) if one[0] <= (first + now) / 2]
        _, began, before = max(gaps)
        self.per_second = (done - before) / (now - began)

    def seconds_left(self, now: float, total: int) -> float | None:
        """Return the seconds until all items are done; None if this cannot be told."""
        if not self.per_second or not self._samples:
            return None
        last, done = self._samples[-1]
        return max(0.0, (total - done) / self.per_second - (now - last))
