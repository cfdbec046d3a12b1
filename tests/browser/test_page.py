"""A person reviews sweeps on MLflow's page, in a real browser: the runs, one run, its charts, and two compared."""

from __future__ import annotations

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
    elsewhere: list[str] = field(default_factory=list[str])
    """Addresses that the page asked for, beyond this machine."""

    @property
    def server(self) -> str:
        return self.address.partition("/#")[0]

    def open(self, address: str) -> Any:
        """Open an address in a profile of its own."""
        page = self.browser.new_context(viewport={"width": 1600, "height": 1000}).new_page()
        page.on("request", lambda request: self.elsewhere.append(request.url))
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


def test_the_address_shows_the_runs_in_columns(page: Page) -> None:
    """All of them on the first page, in a view whose columns are those that matter, and not a page for models."""
    shown = page.open(page.address)
    shown.get_by_text("matching runs").wait_for()
    text = shown.inner_text("body")
    assert f"{len(RUNS)} matching runs" in text
    for name in RUNS:
        assert name in text
    heads = shown.locator("[role=columnheader]").all_inner_texts()
    assert {"optitrip.state", "loss", "seconds"} <= set(heads)
    assert "Traces 0" not in text
    assert "Detect Issues" not in text


def test_the_chart_is_of_the_loss_on_logarithmic_axes(page: Page) -> None:
    """It is the first one, and its x axis has ticks at powers of ten."""
    shown = page.open(page.address + "&compareRunsMode=CHART")
    first = shown.locator("[data-testid=experiment-view-compare-runs-card]").first
    first.wait_for()
    assert first.inner_text().startswith("loss")
    first.locator(".xtick").first.wait_for()
    ticks = first.locator(".xtick").all_inner_texts()
    assert {"10", "100"} <= set(ticks), ticks


def test_the_page_needs_no_network(page: Page) -> None:
    """What it shows comes from the server on this machine."""
    page.open(page.run("named"))
    assert not [url for url in page.elsewhere if not url.startswith((page.server, "data:", "blob:"))]
