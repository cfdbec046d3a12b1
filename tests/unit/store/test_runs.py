"""`optitrip runs` lists the sweeps of a directory and their states, whatever is in it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optitrip as package
from command import optitrip, optitrip_process
from optitrip.store.runs import StoredSweep, lines
from optitrip.tracking.ui_server import latest_experiment

FILE = """
[objective]
loss = "bowl:loss"
[space]
x = { normal = [0, 1] }
name = { choice = ["a", "b"] }
[method]
use = "search"
candidates = 40
best = 3
[run]
executor = "serial"
[tracking]
use = "none"
"""
LOSS = """
import os, signal

def loss(x, name, at=None, kind=""):
    if at is not None and x > at:
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return float("nan")
    return (x - 0.5) ** 2
"""
ARGUMENTS = "objective.arguments={at=%s, kind='%s'}"
HOLD = """
import sys
from pathlib import Path
from optitrip.runtime.files import lock_folder
held = lock_folder(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bowl.toml").write_text(FILE)
    (tmp_path / "bowl.py").write_text(LOSS)
    return tmp_path


@contextmanager
def held(folder: Path) -> Generator[None]:
    """Have another process hold the lock of a state directory."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdin=-1, stdout=-1, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        yield
        child.communicate()


def listed(folder: Path) -> dict[str, Any]:
    """Return what is listed, by state, or by name where the state is the same."""
    done = optitrip(folder, "runs", "--json")
    assert done.returncode == 0, done.stderr
    return {f"{row['name']} {row['state']}": row for row in json.loads(done.stdout)}


@pytest.mark.daily
def test_every_state_of_a_sweep(folder: Path) -> None:
    """Finished, failed, stopped, killed, and running while another process holds the lock."""
    overrides = {"finished": "seed=0", "failed": ARGUMENTS % (-9, ""), "stopped": "stop.max_seconds=1e-9"}
    for state, override in overrides.items():
        done = optitrip(folder, "sweep", "bowl.toml", "--set", f"name={state}", "--set", override)
        assert done.returncode == {"finished": 0, "failed": 1, "stopped": 75}[state], done.stderr
    words = ["--set", "name=killed", "--set", ARGUMENTS % (1, "kill"), "--set", "method.candidates=100000"]
    assert optitrip_process(folder, "sweep", "bowl.toml", *words).returncode == -9
    rows = listed(folder)
    assert sorted(rows) == ["failed failed", "finished finished", "killed dead", "stopped stopped"]
    losses = package.search(lambda x, name: (x - 0.5) ** 2, space_of(FILE), candidates=40, executor="serial").losses
    finished, stopped = rows["finished finished"], rows["stopped stopped"]
    assert (finished["items"], finished["best"]) == (40, losses.min())
    assert stopped["wanted"] == 40
    if stopped["items"]:
        assert stopped["best"] == np.nanmin(losses[: stopped["items"]])
    assert rows["failed failed"]["best"] is None
    place = folder / finished["state_dir"]
    with held(place):
        assert "finished running" in listed(folder)
        assert "  running now\n" not in optitrip(folder, "show", "stopped").stdout
        assert "  running now\n" in optitrip(folder, "show", "finished").stdout
    assert "finished finished" in listed(folder)
    table = optitrip(folder, "runs").stdout.splitlines()
    assert len(table) == 5
    assert table[0].split() == ["sweep", "state", "best", "items", "rate", "age"]
    assert max(map(len, table)) <= 80


def space_of(text: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(text)["space"]


def test_a_resumed_sweep_is_finished(folder: Path) -> None:
    """The last command counts, also where the sweep was finished, extended and stopped."""
    assert optitrip(folder, "sweep", "bowl.toml").returncode == 0
    more = ["sweep", "bowl.toml", "--set", "method.candidates=50"]
    assert optitrip(folder, *more, "--set", "stop.max_seconds=1e-9").returncode == 75
    assert list(listed(folder)) == ["bowl stopped"]
    assert optitrip(folder, *more).returncode == 0
    (row,) = listed(folder).values()
    assert (row["state"], row["items"], row["wanted"]) == ("finished", 50, 50)


def test_whatever_else_is_there_is_listed_as_such(folder: Path) -> None:
    """Damaged journals, other people's folders and files; a missing folder holds no sweeps."""
    done = optitrip(folder, "runs")
    assert (done.returncode, done.stdout, done.stderr) == (0, "there are no sweeps in .optitrip\n", "")
    assert optitrip(folder, "sweep", "bowl.toml").returncode == 0
    (place,) = (folder / ".optitrip").iterdir()
    for name, data in {"garbage": b"SQLite format 3\0" + b"\xff" * 5000, "text": b"hello", "empty": b""}.items():
        (folder / ".optitrip" / name).mkdir()
        (folder / ".optitrip" / name / "journal.sqlite").write_bytes(data)
    whole = (place / "journal.sqlite").read_bytes()
    shutil.copytree(place, place.with_name("half-12345678"))
    (place.with_name("half-12345678") / "journal.sqlite").write_bytes(whole[: len(whole) // 2])
    shutil.copytree(place, place.with_name(f"{place.name}.old-1"))
    (folder / ".optitrip" / "notes\n\x1b[31m").mkdir()
    (folder / ".optitrip" / "pipe" / "journal.sqlite").mkdir(parents=True)
    (folder / ".optitrip" / "a file").touch()
    states = {row["state_dir"].rpartition("/")[2]: row["state"] for row in listed(folder).values()}
    assert states.pop(place.name) == "finished"
    assert states.pop("notes\n\x1b[31m") == "no sweep"
    assert len(states) == 6
    assert set(states.values()) == {"damaged"}
    table = optitrip(folder, "runs").stdout
    assert len(table.splitlines()) == 9
    assert "\x1b" not in table


def test_a_table_fits_the_width() -> None:
    """Names are cut before their identity, numbers never; without a width nothing is."""
    sweep = StoredSweep(Path("n" * 64 + "-1a2b3c4d"), "finished", 87_294_540, 100_000_000, -1.234567e-300, 9.9e7, 5.0)
    head, line = lines([sweep], 5.0 + 86_400 * 1000, 80)
    assert (len(head), len(line)) == (80, 80)
    assert line.split() == [
        "n" * 14 + "..-1a2b3c4d",
        "finished",
        "-1.23457e-300",
        *["87.3M", "of", "100M", "99M/s", "1000", "d"],
    ]
    assert list(lines([sweep], 5.0, None))[1].startswith("n" * 64 + "-1a2b3c4d  finished")


def test_show_tells_the_best_and_the_way_on(folder: Path) -> None:
    """The best candidates with their parameters, by the journal alone, and the command."""
    assert optitrip(folder, "sweep", "bowl.toml").returncode == 0
    (folder / "bowl.py").unlink()
    found = package.search(lambda x, name: (x - 0.5) ** 2, space_of(FILE), candidates=40, executor="serial")
    order = np.argsort(found.losses)[:3]
    shown = optitrip(folder, "show", "bowl").stdout
    for number, index in enumerate(order.tolist(), 1):
        x = found.candidates.point(index)["x"][0]
        assert f"  {number}. {found.losses[index]:.8g} at candidate {index:,}, x {x:.8g}, " in shown
    (place,) = (folder / ".optitrip").iterdir()
    assert f"  command: optitrip sweep .optitrip/{place.name}/sweep.toml\n" in shown
    assert max(map(len, shown.splitlines())) <= 80
    elsewhere = optitrip(folder, "show", "bowl", "--state-dir", str(folder / ".optitrip")).stdout
    assert f"--state-dir {folder}/.optitrip\n" in elsewhere
    table = json.loads(optitrip(folder, "show", "bowl", "--json").stdout)
    assert [best["best"]["index"] for best in table["best"]] == order.tolist()
    assert (table["state"], table["mlflow"]) == ("finished", None)
    assert latest_experiment(folder / ".optitrip") is None


def test_the_best_of_retried_items_counts(folder: Path) -> None:
    """A candidate that failed at first is shown if it is the best in the end; NaN never is."""
    loss = "import pathlib\ndef loss(x, name):\n    flag = pathlib.Path('again')\n"
    loss += "    return (x - 0.5) ** 2 if flag.exists() or abs(x - 0.5) > 0.2 else float('nan')\n"
    (folder / "bowl.py").write_text(loss)
    optitrip(folder, "sweep", "bowl.toml")
    before = optitrip(folder, "show", "bowl").stdout
    (folder / "again").touch()
    assert optitrip(folder, "sweep", "bowl.toml", "--retry-failed").returncode == 0
    after = optitrip(folder, "show", "bowl").stdout
    found = package.search(lambda x, name: (x - 0.5) ** 2, space_of(FILE), candidates=40, executor="serial")
    first = f"  1. {found.loss:.8g} at candidate {found.index:,}"
    assert first not in before
    assert first in after
