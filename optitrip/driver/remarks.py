"""What a driver says beside its progress, so often and no more."""

from __future__ import annotations

from optitrip.core.notice import info
from optitrip.core.observer import Observer
from optitrip.executors import Done

LINES_SHOWN = 200
"""Of what a loss prints on workers; it may print for every candidate."""
SLOW_BLOCK_SECONDS, BLOCKS_TIMED = 2.0, 5


class Remarks:
    """On what a loss prints, and on blocks that take long."""

    def __init__(self, watch: Observer, block: int) -> None:
        self._watch, self._block = watch, block
        self._lines_left = LINES_SHOWN
        self._block_seconds: list[float] = []

    def see(self, outcome: Done) -> None:
        self._pass_on(outcome.said)
        if self._block > 1 and outcome.seconds and len(self._block_seconds) < BLOCKS_TIMED:
            self._time_block(outcome)

    def _pass_on(self, said: str) -> None:
        """What the loss printed on a worker, up to a limit."""
        lines = said.rstrip().splitlines() if said else []
        if not lines or not self._lines_left:
            return
        self._watch.notice(info("loss-output", "\n".join(lines[: self._lines_left])))
        self._lines_left = max(0, self._lines_left - len(lines))
        if not self._lines_left:
            self._watch.notice(
                info("loss-output", f"(the loss prints more than {LINES_SHOWN} lines; the rest is not shown)")
            )

    def _time_block(self, outcome: Done) -> None:
        """Tell once if even the fastest of the first blocks takes long."""
        self._block_seconds.append(outcome.seconds / -(-len(outcome.part.items) // self._block))
        fastest = min(self._block_seconds)
        if len(self._block_seconds) == BLOCKS_TIMED and fastest > SLOW_BLOCK_SECONDS:
            self._watch.notice(
                info(
                    "slow-block",
                    f"a block of {self._block} candidates takes {fastest:.1f} s; a smaller [objective] block would "
                    "spread better over workers",
                )
            )
