"""A person sees the progress of a running sweep."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from examples import LOSSES, METHODS, draws, search
from optitrip.core.observer import Times
from optitrip.methods.search.answer import SearchProgress
from optitrip.output import terminal
from optitrip.output.terminal import LiveLine


@pytest.mark.parametrize("after", ["report", "verification", "agreement"])
def test_a_stage_beside_the_main_one_has_no_line(after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no terminal, a line tells of parts that count; those of a report would only repeat the last."""
    monkeypatch.setattr(terminal, "PIPED_SECONDS", -1.0)  # every part has a line
    shown = StringIO()
    live = LiveLine(Console(file=shown, width=200), SearchProgress(20, draws()))
    method, other = search(20), METHODS[after](2)
    live.stage(method)
    for items in (range(8), range(8, 20)):
        live.parts([(method.evaluate(LOSSES["batched"], items), Times([items.start], [0]))], new=True)
    before = shown.getvalue().splitlines()
    assert [line.split(" | ")[0] for line in before] == ["Attempt 8", "Attempt 20"]
    live.stage(other)
    part = other.evaluate(other.prepare(LOSSES["batched"]), range(other.items))
    live.parts([(part, Times([0], [0]))], new=True)
    assert shown.getvalue().splitlines() == before
