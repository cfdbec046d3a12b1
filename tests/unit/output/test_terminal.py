"""A person sees the progress of a running sweep."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.console import Console

from examples import LOSSES, METHODS, draws, search
from optitrip.core.observer import Progress, Times
from optitrip.core.part import Part
from optitrip.methods.search.progress import SearchProgress
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


class Wordy(Progress):
    """Progress whose words take a given number of columns."""

    length = 0

    def words(self) -> str:
        return f"{self.done:,} of".ljust(self.length, "x")


@pytest.mark.parametrize(("length", "bar"), [(8, 71), (69, 10), (70, 0), (79, 0), (120, 0)])
def test_the_line_fits_the_terminal(length: int, bar: int) -> None:
    """The bar fills the rest of 80 columns if it gets at least 10; words that need more than 80 are cropped."""
    progress = Wordy(20)
    progress.length = length
    shown = StringIO()
    live = LiveLine(Console(file=shown, width=80, force_terminal=True), progress)
    live.stage(search(20))
    with live.show():
        live.parts([(Part(range(8), {}), Times([0], [0]))], new=True)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue()).replace("\r", "\n").splitlines()
    (line,) = {line.rstrip() for line in lines if line.startswith("8 of")}
    assert len(line) == min(80, length + (1 + bar if bar else 0))
    assert len(re.findall("[\u2501\u2578\u257a]", line)) == bar


def test_items_of_an_earlier_run_are_not_part_of_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate needs two reports of this run; what was stored before came at no rate at all."""
    monkeypatch.setattr(terminal, "PIPED_SECONDS", -1.0)
    shown = StringIO()
    live = LiveLine(Console(file=shown, width=200), Progress(20))
    live.stage(search(20))
    for lo, new in ((0, False), (4, False), (8, True), (12, True)):
        live.parts([(Part(range(lo, lo + 4), {}), Times([lo], [0]))], new=new)
    first, second = shown.getvalue().splitlines()
    assert first == "12 of 20"
    assert re.fullmatch(r"16 of 20 \| [\d,.]+/s \| \d+:\d\d left", second)
