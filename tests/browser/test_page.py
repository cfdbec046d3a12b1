"""A person reviews sweeps on MLflow's page, in a real browser: the runs, one run, its charts, and two compared."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from command import start_optitrip
from driver_setup import Recording
from optitrip.app.context import Options
from optitrip.app.run_sweep import run_sweep
from optitrip.errors import OptitripError
from optitrip.output.outcome import Outcome
from optitrip.store.lookup import read

sync_api: Any = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.daily, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]

LOSS = """
import numpy as np

class Bowl:
    def __init__(self, fails=False):
        self.fails = fails
    def __call__(self, x, y, kind):
        if self.fails and x > 1:
            raise ValueError("x is too large")
        return (x - 0.3) ** 2 + (y + 0.2) ** 2 + {"round": 0.1, "flat": 0.2}[kind]
    def report(self, x, y, kind):
        return {"distance": float(np.hypot(x, y))}

def accuracy(x, y, kind):
    return {"loss": 1 / (1 + x * x + y * y), "size": x * x}
"""
SWEEP = """
[objective]
loss = "bowl:Bowl"
[space]
x = { normal = [0, 1] }
y = { uniform = [-2, 2] }
kind = { choice = ["round", "flat"] }
[method]
use = "search"
candidates = 300
[run]
executor = "serial"
"""
DIGITS = """
[objective]
make = "optitrip.objectives:Softmax"
arguments = { data = "digits" }
[space]
W = { shape = [10, 65], normal = [0, 0.03] }
[method]
"""
RUNS: dict[str, tuple[str, ...]] = {
    "named": ("bowl",),
    "other_seed": ("bowl", "seed=1"),
    "failures": ("bowl", "objective.arguments={fails=true}", "failures.allow=1.0"),
    "maximised": ("bowl", "objective.loss='bowl:accuracy'", "objective.maximize=true"),
    "stopped": ("bowl", "seed=2", "stop.max_seconds=1e-9"),
    "resumed": ("bowl", "seed=3", "stop.max_seconds=1e-9"),
    "extended": ("bowl", "seed=4", "method.candidates=100"),
    "random": ("digits", "method={use='search', candidates=300}"),
    "screened": ("digits", "method={use='search', candidates=300, screen='low_rank'}"),
    "gradient": ("digits", "method={use='gradient', at={candidate=3}, coordinates=20}"),
}
"""Ten kinds of sweeps: the file of each, and what is set beside it."""
AGAIN = {"resumed": ("bowl", "seed=3"), "extended": ("bowl", "seed=4")}


@dataclass
class Page:
    """MLflow's page in a browser, with the outcomes of the sweeps on it by name."""

    browser: Any
    address: str
    outcomes: dict[str, Outcome]
    asked: list[str] = field(default_factory=list[str])
    """Addresses that the pages asked for."""

    @property
    def server(self) -> str:
        return self.address.partition("/#")[0]

    def open(self, address: str) -> Any:
        """Open an address in a profile of its own."""
        page = self.browser.new_context(viewport={"width": 1600, "height": 1000}).new_page()
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(address)
        return page

    def run(self, name: str) -> str:
        """Return the address of a run's page."""
        place = self.outcomes[name].mlflow
        assert place is not None
        experiment = re.search(r"experiments/(\d+)/", self.address)
        assert experiment is not None
        return f"{self.server}/#/experiments/{experiment[1]}/runs/{place['run_id']}"


def swept(folder: Path, name: str, file: str, *overrides: str) -> Outcome:
    """Run a sweep that is tracked from this process."""
    options = Options(mlflow_process=False)
    found: Any = None
    try:
        found = run_sweep(read(folder / f"{file}.toml", [f"name={name}", *overrides]), options, Recording())
    except OptitripError as error:
        found = error.outcome
    assert found is not None
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("page")
    shutil.copy(store, folder)
    (folder / "bowl.py").write_text(LOSS)
    (folder / "bowl.toml").write_text(SWEEP)
    (folder / "digits.toml").write_text(DIGITS + "[run]\nexecutor = 'serial'\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        outcomes = {name: swept(folder, name, *words) for name, words in RUNS.items()}
        outcomes |= {name: swept(folder, name, *words) for name, words in AGAIN.items()}
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = ["ui", "--no-open", "--port", str(port)]
    child: Any = start_optitrip(folder, *words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        child.stderr.readline()
        address = child.stderr.readline().split(" ")[0]
        with sync_api.sync_playwright() as started:
            browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            yield Page(browser, address, outcomes)
            browser.close()
    finally:
        child.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(30)
        child.stderr.close()


def column(shown: Any, key: str) -> dict[str, str]:
    """Return the entries of a column of the table of runs by the id of the run."""
    cells = shown.locator(f'[role=gridcell][col-id="{key}"]')
    cells.first.wait_for()
    found = cells.evaluate_all("cells => cells.map(c => [c.closest('[row-id]').getAttribute('row-id'), c.innerText])")
    return {run: text.strip() for run, text in found}


def test_the_address_shows_the_runs_in_columns(page: Page) -> None:
    """All of them on the first page, in a view whose columns are those that matter, the answers first."""
    shown = page.open(page.address)
    shown.get_by_text("matching runs").wait_for()
    assert column(shown, "tags.`optitrip.state`") == {
        outcome.mlflow["run_id"]: outcome.status for outcome in page.outcomes.values() if outcome.mlflow
    }
    text = shown.inner_text("body")
    assert f"{len(RUNS)} matching runs" in text
    assert "Detect Issues" not in text
    heads = shown.locator("[role=columnheader][aria-colindex][col-id*='.`']")
    places = heads.evaluate_all("heads => heads.map(h => [Number(h.ariaColIndex), h.getAttribute('col-id')])")
    names = [name.split("`")[1] for _, name in sorted(places)]
    assert names[:3] == ["Run Name", "optitrip.state", "loss"]
    assert {*names[3:]} == {"candidates", "coordinates", "seconds", "best/x", "best/y", "best/kind"}


def test_the_loss_of_a_run_is_its_answer(page: Page) -> None:
    """In the user's sign, also of sweeps that were resumed, extended or screened; the best so far of a stopped one."""
    shown = page.open(page.address)
    losses, xs = column(shown, "metrics.`loss`"), column(shown, "metrics.`best/x`")
    for name, outcome in page.outcomes.items():
        found: Any = outcome.answer or outcome.best
        assert outcome.mlflow is not None
        run = outcome.mlflow["run_id"]
        assert float(losses[run]) == pytest.approx(found.loss, rel=1e-6), name
        if RUNS[name][0] == "bowl":
            assert float(xs[run]) == pytest.approx(found.x["x"], rel=1e-6), name


def test_the_chart_is_of_the_loss_on_logarithmic_axes(page: Page) -> None:
    """It is the first one, and its x axis has ticks at powers of ten."""
    shown = page.open(page.address + "&compareRunsMode=CHART")
    cards = shown.locator("[data-testid=experiment-view-compare-runs-card]", has=shown.locator(".xtick"))
    cards.filter(has_text=re.compile("^loss")).first.wait_for()  # the charts are not drawn in the order of the page
    first = cards.first
    assert first.inner_text().startswith("loss")
    assert {"1", "10", "100"} <= set(first.locator(".xtick").all_text_contents())


@pytest.mark.parametrize("name", ["named", "gradient"])
def test_the_charts_of_a_run_begin_with_its_picture(page: Page, name: str) -> None:
    """In a card of its own, before the bars of single numbers."""
    shown = page.open(page.run(name) + "/model-metrics")
    picture = shown.get_by_test_id("experiment-view-compare-runs-card").first.locator("img").first
    picture.wait_for()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100


def test_a_click_on_a_run_shows_its_answer(page: Page) -> None:
    """The description says it in its first lines."""
    shown = page.open(page.address)
    shown.get_by_role("link", name=re.compile("^named")).click()
    lines = described(shown)
    answer: Any = page.outcomes["named"].answer
    assert f"loss {answer.loss:.8g} at candidate {answer.index:,}" in lines[0]
    assert f"x {answer.x['x']:.6g}" in lines[1]


def described(shown: Any) -> list[str]:
    """Return the lines of a run's description."""
    note = shown.get_by_test_id("note-view-outer-container").first
    note.wait_for()
    return [line for line in note.inner_text().splitlines() if line.strip()]


def test_failures_and_stops_are_described(page: Page) -> None:
    """With their kind and first message; with the best so far and the command that resumes."""
    failed = " ".join(described(page.open(page.run("failures"))))
    assert re.search(r"\d+ raised", failed)
    assert "x is too large" in failed
    stopped = " ".join(described(page.open(page.run("stopped"))))
    best: Any = page.outcomes["stopped"].best
    assert f"{best.loss:.8g}" in stopped
    assert "optitrip sweep" in stopped


def test_two_seeds_compare_by_their_best_points(page: Page) -> None:
    """The compared metrics are the loss, the best point and the number of candidates."""
    runs = [page.run(name).rpartition("/")[2] for name in ("named", "other_seed")]
    experiment = page.run("named").split("experiments/")[1].partition("/")[0]
    lists = [quote(json.dumps(one)) for one in (runs, [experiment])]
    shown = page.open(f"{page.server}/#/compare-runs?runs={lists[0]}&experiments={lists[1]}")
    shown.get_by_text("Comparing 2 Runs").wait_for()
    shown.get_by_text("best/x").first.wait_for()
    text = shown.inner_text("body")
    assert {"loss", "best/x", "best/y", "candidates"} <= set(re.findall(r"[\w/]+", text))


def test_the_page_needs_no_network(page: Page) -> None:
    """What all of these pages show comes from the server on this machine."""
    described(page.open(page.run("named")))
    assert not [url for url in page.asked if not url.startswith((page.server, "data:", "blob:"))]
