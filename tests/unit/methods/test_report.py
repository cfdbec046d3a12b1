"""The HTML report of a search: self-contained, true, small, and safe whatever a name contains."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optitrip
from optitrip.methods.search.axes import axis_of, dimension, log_ticks, short
from optitrip.methods.search.report import MOST_PANELS, cell, report_html, reported
from optitrip.space.variables import Space

EVIL = "</script><script>window.evil=1</script>"
SPACE: dict[str, Any] = {
    "lr": {"log_uniform": [1e-4, 1]},
    "<b>size</b>": {"integer": [1, 9]},
    "$x$": {"uniform": [-1, 1]},
    EVIL: {"choice": [EVIL, "%{x}", 3]},
    "W": {"normal": [0, 1], "shape": [2]},
    "fixed": 4,
}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def loss(**x: Any) -> float:
    return math.nan if x["lr"] > 0.5 else (math.log10(x["lr"]) + 2) ** 2 + 0.1 * x["$x$"] ** 2 + 0.01


def page_of(found: Any) -> str:
    return report_html(found.stored, f"title {EVIL}", found.word).decode()


def without_library(page: str) -> str:
    """The page without plotly.js."""
    head, _, rest = page.partition("<script>")
    return head + rest.partition("</script></head>")[2]


def figures(page: str) -> list[tuple[Any, Any]]:
    """Traces and layout of each figure of a page."""
    calls = re.findall(r'Plotly\.newPlot\("figure\d",(.*?)\)</script>', without_library(page))
    return [tuple(json.loads(f"[{call}]"))[:2] for call in calls]


@pytest.fixture(scope="module")
def found() -> Any:
    return optitrip.search(loss, SPACE, candidates=3_000, executor="serial")


@pytest.fixture(scope="module")
def page(found: Any) -> str:
    return page_of(found)


def test_the_page_needs_nothing_else(page: str) -> None:
    """No address, no file; it is drawn again to the same bytes, and has a few hundred kilobytes beside plotly.js."""
    own = without_library(page)
    assert not re.search(r"https?:|src=|href=|@import", own)
    assert len(own) < 500_000
    assert "plotly.js v" in page


def test_the_same_search_has_the_same_page(found: Any, page: str) -> None:
    """So that a result file that is made again is the same file."""
    assert page_of(found) == page


def test_names_are_shown_as_they_are(page: str) -> None:
    """No tag, script or formula comes from them."""
    own = without_library(page)
    assert EVIL not in own
    assert "<b>" not in own
    assert own.count("<script>") == own.count("</script>") == len(figures(page)) == 3
    assert '"typesetMath": false' in own
    (_, layout), *_ = figures(page)
    titles = {unescape(axis["title"]["text"]) for name, axis in layout.items() if name.startswith("xaxis")}
    assert titles == {"lr", "<b>size</b>", "$x$", EVIL}


def test_dots_are_candidates(found: Any, page: str) -> None:
    """To six digits, the best 1 % red and the others grey, on a logarithmic axis for a logarithmic variable."""
    (traces, layout), *_ = figures(page)
    (place,) = (name for name, axis in layout.items() if name[:5] == "xaxis" and axis["title"]["text"] == "lr")
    grey, red, failed = (trace for trace in traces if trace["xaxis"] == place.replace("axis", ""))
    assert layout[place]["type"] == layout["yaxis"]["type"] == "log"
    columns = found.stored.all()
    known = {(f"{x:.6g}", f"{y:.6g}") for x, y in zip(columns["lr"], columns["loss"], strict=True)}
    best = found.top(round(0.01 * (columns["status"].codes == 0).sum()))
    assert [f"{x:.6g}" for x in red["x"]] == [f"{one.x['lr']:.6g}" for one in best]
    drawn = zip(grey["x"] + red["x"], grey["y"] + red["y"], strict=True)
    assert {(f"{x:.6g}", f"{y:.6g}") for x, y in drawn} <= known
    assert 0 < len(failed["x"]) <= 201
    assert min(failed["x"]) > 0.5
    assert len(grey["x"]) <= 2_000


def test_the_most_important_parameter_is_the_first(page: str) -> None:
    """In the panels, the parallel coordinates and the bars."""
    panels, (parallel, _), ((bars, chance), layout) = figures(page)
    assert panels[1]["xaxis"]["title"]["text"] == parallel[0]["dimensions"][0]["label"] == "lr"
    assert parallel[0]["dimensions"][-1]["label"] == "loss"
    assert layout["yaxis"]["ticktext"][0] == "lr"
    assert bars["x"][0] > 0.9 > 0.1 > bars["x"][1]
    assert len(bars["x"]) == len(chance["x"]) == len(bars["error_x"]["array"]) == 4


def test_the_table_has_the_best_twenty(found: Any, page: str) -> None:
    """With rank, index, loss and parameters."""
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr><td>.*?</tr>", page)]
    assert [(row[0], row[1], row[2]) for row in rows] == [
        (str(rank), f"{one.index:,}", f"{one.loss:.6g}") for rank, one in enumerate(found.top(20), 1)
    ]
    assert {unescape(row[6]) for row in rows} <= {"'" + EVIL + "'", EVIL, "%{x}", "3"}


def test_a_search_without_named_scalars_has_no_report() -> None:
    """Arrays and constants alone, or a single loss: there would be nothing to see."""
    arrays = optitrip.search(lambda W, k: W.sum(), {"W": {"normal": [0, 1], "shape": [2]}, "k": 1}, candidates=50,
                             executor="serial")  # fmt: skip
    assert reported(arrays.stored) == []
    one = optitrip.search(lambda x: x, {"x": {"normal": [0, 1]}}, candidates=1, executor="serial")
    assert reported(one.stored) == []


@pytest.mark.parametrize(
    "loss",
    [lambda **x: 0.0, lambda **x: x["x0"] * 1e308, lambda **x: -x["x1"], lambda **x: 10 ** (300 * x["x2"])],
    ids=["all equal", "huge", "negative", "wide"],
)
def test_any_losses_have_a_report(loss: Any) -> None:
    """Of many parameters the most important are drawn, and the text says so; JSON has no NaN."""
    space = {f"x{n}": {"normal": [0, 1]} for n in range(MOST_PANELS + 1)}
    page = page_of(optitrip.search(loss, space, candidates=60, executor="serial", maximize=True))
    assert "Of 25 parameters the most important are shown." in page
    assert not re.search(r"\bNaN\b|\bInfinity\b", without_library(page))
    assert len(figures(page)[0][0]) == 3 * MOST_PANELS


def test_numbers_that_round_to_zero_have_a_report() -> None:
    """A logarithmic axis has no place for them, and leaves them out."""
    space = {"x": {"log_normal": [-700, 100]}, "y": {"log_normal": [0, 1]}}
    found = optitrip.search(lambda x, y: x + y, space, candidates=500, executor="serial")
    assert len(figures(page_of(found))) == 3


@pytest.mark.daily
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_draws_the_page(page: str, tmp_path: Path) -> None:
    """From a disk and without a network: every figure is there, and no script of a name has run."""
    probe = "<script>setTimeout(()=>document.title=[document.querySelectorAll('.main-svg').length>0,window.evil,"
    probe += "document.querySelectorAll('.js-plotly-plot').length].join(),3000)</script></body>"
    (tmp_path / "report.html").write_text(page.replace("</body>", probe))
    words = ["--headless=new", "--no-sandbox", "--virtual-time-budget=20000", "--dump-dom"]
    offline = "--host-resolver-rules=MAP * ~NOTFOUND"
    done = subprocess.run(
        [str(CHROMIUM), *words, offline, f"--user-data-dir={tmp_path}", (tmp_path / "report.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert re.findall(r"<title>(.*?)</title>", without_library(done.stdout))[:1] == ["true,,3"]


def test_numbers_are_short() -> None:
    """The page holds six digits of each."""
    assert short(np.array([1 / 3, np.nan, 2.0, 1e300])) == [0.333333, None, 2.0, 1e300]


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (1e-4, 0.99, ["0.0001", "0.001", "0.01", "0.1"]),
        (16, 1_024, ["20", "50", "100", "200", "500", "1000"]),
        (2.5, 6.5, ["3", "4", "5", "6"]),
        (1.1, 1.2, ["1.1", "1.2"]),
        (7, 7, ["7", "7"]),
    ],
)
def test_ticks_of_logarithms_are_round_numbers(low: float, high: float, texts: list[str]) -> None:
    """Powers of ten, or 1, 2 and 5 times these, or all digits; in a narrow range its ends."""
    assert [f"{10**tick:.6g}" for tick in log_ticks(np.log10(low), np.log10(high))] == texts


def test_ticks_over_hundreds_of_decades_are_few() -> None:
    """Also of losses near the ends of float64."""
    assert 3 <= len(log_ticks(-300, 300)) <= 12


@pytest.mark.parametrize(("low", "word"), [(1e-4, "log_uniform"), (2, "uniform")])
def test_a_parameter_that_some_candidates_lack_has_a_place_for_these(low: float, word: str) -> None:
    """Below all others; plotly.js would draw their lines through 0, which is 1 on a logarithmic axis."""
    variable = Space.parse({"a": {"choice": [0, 1]}, "x": {word: [low, 10], "when": "a == 1"}}).variables[1]
    values = np.array([low, np.nan, 10.0, np.nan])
    found = dimension(axis_of(variable, values), values, np.arange(4))
    place = found["values"][1]
    assert found["values"][3] == place < min(found["values"][0], found["values"][2])
    assert (found["tickvals"][0], found["ticktext"][0]) == (place, "absent")
    assert len(found["tickvals"]) == len(found["ticktext"])
    assert cell(np.nan) == "-"
