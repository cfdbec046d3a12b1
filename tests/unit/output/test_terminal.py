"""A person sees the progress of a running sweep."""

from __future__ import annotations

import re
from io import StringIO
from itertools import pairwise

import numpy as np
import pytest
from rich.console import Console

from examples import LOSSES, METHODS, draws, search
from optitrip.core.notice import info
from optitrip.core.observer import Progress, Times
from optitrip.core.part import Part
from optitrip.methods.search.progress import SearchProgress
from optitrip.output import terminal
from optitrip.output.line import Line
from optitrip.output.terminal import LiveLine
from optitrip.output.text import compact


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


class Watch:
    """A clock that stands until it is moved."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def line_after(progress: Progress, *arrivals: tuple[float, range], new: bool = True) -> tuple[Line, Watch]:
    """Return a line that has seen parts at these moments."""
    watch = Watch()
    line = Line(progress, watch)
    line.stage(search(progress.total))
    for seconds, items in arrivals:
        watch.seconds = seconds
        line.parts([(Part(items, {}), Times([items.start], [0]))], new=new)
    return line, watch


def test_items_of_an_earlier_run_are_not_part_of_the_rate() -> None:
    """A rate needs two reports of this run; what was stored before came at no rate at all."""
    line, _ = line_after(Progress(100), (1.0, range(40)), (2.0, range(40, 60)), new=False)
    assert line.text() == "60 of 100"
    line.parts([(Part(range(60, 70), {}), Times([60], [0]))], new=True)
    assert line.text() == "70 of 100"


def test_the_time_left_is_that_of_the_items_not_of_the_wait() -> None:
    """Two workers, which come after a minute, deliver 10 items a second each from then on, at nearly the same time."""
    moments = [(60.0 + n // 2 + 0.01 * (n % 2), range(10 * n, 10 * n + 10)) for n in range(17)]
    for count in range(4, 18, 2):
        line, _ = line_after(Progress(1000), *moments[:count])
        assert line.text().split(" | ")[1] == "20/s", count
    line, watch = line_after(Progress(1000), *moments[:16])
    assert line.text() == "160 of 1,000 | 20/s | 0:42 left"
    watch.seconds += 12
    assert line.text() == "160 of 1,000 | 20/s | 0:30 left"
    watch.seconds += 1e6
    assert line.text() == "160 of 1,000 | 20/s | 0:00 left"


def test_other_workers_have_a_rate_of_their_own() -> None:
    """What one process did, and the start of Ray, is forgotten as soon as there is a rate of the workers."""
    line, watch = line_after(Progress(10_000), *((n, range(10 * n, 10 * n + 10)) for n in range(20)))
    assert " | 10/s | " in line.text()
    watch.seconds = 25.0
    line.notice(info("executor", "evaluating on 16 local Ray workers"))
    for n in range(5):
        watch.seconds = 26.0 + n
        line.parts([(Part(range(200 + 160 * n, 360 + 160 * n), {}), Times([0], [0]))], new=True)
    assert " | 160/s | " in line.text()


def found(index: int, loss: float, items: range) -> Part:
    """Return a part of a search whose best candidate has this loss."""
    columns = {"loss": np.array([loss]), "best_loss": np.array([loss]), "best_index": np.array([index])}
    return Part(items, columns)


@pytest.mark.parametrize("loss", [1e-300, -1.2345678e-300, 1.23456789e300, -7e7, 0.0, 0.5])
@pytest.mark.parametrize("width", [72, 80])
def test_time_left_and_best_are_the_last_to_go(loss: float, width: int) -> None:
    """With many attempts, tiny and huge losses, and much time left, in narrow terminals."""
    total = 2**33
    watch = Watch()
    line = Line(SearchProgress(total, draws()), watch)
    line.stage(search(total))
    for n in range(4):
        watch.seconds = 1000.0 * n
        items = range(n * 87_294_540, (n + 1) * 87_294_540)
        line.parts([(found(87_294_540, loss, items), Times([0], [0]))], new=True)
    text = line.text(width)
    assert len(text) <= width
    assert re.search(r" \| [\d,]+:\d\d:\d\d left$", text)
    best = re.search(r"MinLoss (\S+) at 87,294,540", text)
    assert best is not None
    assert float(best[1]) == pytest.approx(loss, rel=1e-4)


def test_narrower_than_that_the_time_left_comes_first() -> None:
    """A terminal that crops the line leaves what matters."""
    line, _ = line_after(Wordy(10**9), *((float(n), range(n, n + 1)) for n in range(9)))
    assert line.text(20) == "277,777:46:31 left | 9 of"


def test_successive_best_losses_look_different() -> None:
    """As many digits as that takes, at least five that count; a loss that is tiny is no 0.0000."""
    progress = SearchProgress(100, draws())
    progress.stage(search(100))
    shown: list[str] = []
    for n, loss in enumerate([1.5, 1.23456, 1.2345599999, 1.2345599998, 1e-9, 9.99999e-10, 0.0, -0.1, -np.pi]):
        progress.parts([(found(n, loss, range(n, n + 1)), Times([n], [0]))], new=True)
        shown.append(progress.words().split("MinLoss ")[1].split(" ")[0])
        assert float(shown[-1]) == pytest.approx(loss, rel=1e-4)
    assert shown[:2] == ["1.5000", "1.2346"]
    assert shown[-3:] == ["0", "-0.10000", "-3.1416"]
    assert all(one != other for one, other in pairwise(shown))


WHOLE = [(0, "0"), (9_999, "9,999"), (10_000, "10k"), (999_499, "999k"), (999_500, "1M"), (87_294_540, "87.3M")]
OTHERS = [(0.5, "0.5"), (999.6, "1k"), (2**53, "9.01e+03T"), (1 / 3, "0.333"), (-12_345, "-12.3k")]


@pytest.mark.parametrize(("number", "text"), [*WHOLE, *OTHERS])
def test_a_compact_number_has_three_digits(number: float, text: str) -> None:
    """Small whole numbers are exact."""
    assert compact(number) == text
