"""Where notices go from Python and from the command alike: to the logger `optitrip`, and into the outcome."""

from __future__ import annotations

import logging

from optitrip.core.notice import Notice, info
from optitrip.core.observer import Observer

LOGGER = logging.getLogger("optitrip")
LEVELS = {"info": logging.INFO, "warning": logging.WARNING}
MOST_KEPT = 200
"""Notices that an outcome holds; a sweep of many thousand failures may have more."""


class NoticeLog(Observer):
    """Logs every notice, and keeps the first few hundred."""

    def __init__(self) -> None:
        self._kept: list[Notice] = []
        self._left_out = 0

    def notice(self, notice: Notice) -> None:
        LOGGER.log(LEVELS[notice.level], "%s", notice.text, extra={"code": notice.code})
        if notice.code == "loss-output":  # the loss's own words, not ours
            return
        if len(self._kept) < MOST_KEPT:
            self._kept.append(notice)
        else:
            self._left_out += 1

    @property
    def notices(self) -> tuple[Notice, ...]:
        """All notices so far, or the first of them and how many are left out."""
        if not self._left_out:
            return tuple(self._kept)
        rest = info("notices-left-out", f"{self._left_out:,} more notices went to the logger 'optitrip' only")
        return (*self._kept, rest)
