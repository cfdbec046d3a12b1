"""What a loss does to its process, and its caller to the streams, harms no sweep.

It gives the same bits everywhere, and a word where they may differ.
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command import OPTITRIP, optitrip_process
from forked_commands import Commands
from habits import HABITS, IMPORTS, REPORTED, SWEEP, at_import, in_calls
from optitrip.config.read import parse_text
from optitrip.core.arrays import Array

FILES = {"best.npz", "candidates.parquet", "losses.png", "result.json"}


@pytest.fixture(scope="module")
def by_hand() -> Array:
    """The losses of all candidates, computed once more."""
    x = parse_text(SWEEP.format(module="h", name="loss"), Path("h.toml")).candidates.values(range(300))["x"]
    return (x - 1) * (x - 1) + 0.5 * x


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    made = Commands()
    yield made
    made.close()


def write(folder: Path, code: str) -> None:
    """Write a loss and its sweep file."""
    (folder / "scratch").mkdir(parents=True)
    (folder / "h.py").write_text(code)
    (folder / "h.toml").write_text(SWEEP.format(module="h", name="loss"))


def check(folder: Path, status: int, by_hand: Array, reported: str | None = None) -> None:
    """Check that a command has finished with the right answer, all its files, and the right warning."""
    out, err = (folder / "out").read_text(), (folder / "err").read_text()
    assert status == 0, err
    found: dict[str, Any] = json.loads(out)
    assert (found["best"]["loss"], found["best"]["index"]) == (by_hand.min(), by_hand.argmin())
    state = folder / found["state_dir"]
    assert {path.name for path in state.iterdir()} >= FILES
    assert json.loads((state / "result.json").read_text())["notices"] == found["notices"]
    codes = {notice["code"]: notice["text"] for notice in found["notices"]}
    assert ("process-changed" in codes) == (reported is not None)
    if reported is not None:
        assert reported in codes["process-changed"]
        assert err.count(codes["process-changed"]) == 1
    assert "Traceback" not in err


def check_all(
    folder: Path, commands: Commands, codes: dict[str, str], by_hand: Array, reported: dict[str, str]
) -> None:
    """Run losses with habits in the processes of their commands, and check all."""
    for habit, code in codes.items():
        write(place := folder / habit, code)
        status = commands.run(place, ["sweep", "h.toml", "--json", "--executor", "serial"])
        check(place, status, by_hand, reported.get(habit))


@pytest.mark.thorough
def test_habits_in_calls(tmp_path: Path, commands: Commands, by_hand: Array) -> None:
    """The same bits, all files, and one warning for what could change the answer."""
    check_all(tmp_path, commands, {habit: in_calls(habit) for habit in HABITS}, by_hand, REPORTED)


@pytest.mark.daily
@pytest.mark.parametrize(
    "habits",
    [
        ("another working directory", "NumPy raises", "warnings are errors", "handlers of signals"),
        pytest.param(tuple(HABITS), marks=pytest.mark.daily),
    ],
    ids=["some", "all"],
)
def test_habits_at_import(habits: tuple[str, ...], tmp_path: Path, commands: Commands, by_hand: Array) -> None:
    """Every process imports the module, so they are the same everywhere, and nothing is said of them."""
    check_all(tmp_path, commands, {habit: at_import(habit) for habit in habits}, by_hand, {})


PRINTING = '''
import sys
def loss(x, word):
    """Add → to x."""
    print("→ candidate \\udc80", x)
    print("é", file=sys.stderr)
    return x * x + len(word)
'''
PRINTED = """
[objective]
loss = "s:loss"
[space]
x = { uniform = [-3, 3] }
word = { choice = ["→", "grün"] }
[method]
use = "search"
candidates = 40
[tracking]
use = "none"
"""
RUN = ["sweep", "s.toml", "--executor", "serial", "--json"]


def printing(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "s.py").write_text(PRINTING, encoding="utf-8")
    (folder / "s.toml").write_text(PRINTED, encoding="utf-8")
    return folder


def result(folder: Path) -> tuple[float, int, int]:
    """Return the stored result, and check that its journal is a database that can be read."""
    (state,) = (folder / ".optitrip").iterdir()
    found = json.loads((state / "result.json").read_text())
    assert (state / "journal.sqlite").read_bytes().startswith(b"SQLite format 3")
    return found["best"]["loss"], found["best"]["index"], found["failed"]


def closing(*numbers: int) -> str:
    """Return code after which a process is as if it were started without these descriptors."""
    names = [("stdin", "stdout", "stderr")[number] for number in numbers]
    return "\n".join([*(f"os.close({number})" for number in numbers), *(f"sys.{name} = None" for name in names)])


@pytest.mark.daily
def test_closed_streams(tmp_path: Path, commands: Commands) -> None:
    """Whatever the caller has closed, the exit status is 0, and the result is stored and shown where it can be."""
    printing(tmp_path)
    whole = shlex.join([*OPTITRIP, *RUN])
    assert subprocess.run(["sh", "-c", f"{whole} <&- >&- 2>&-"], cwd=tmp_path, check=False).returncode == 0
    right = result(tmp_path)
    for numbers in ((0,), (1,), (2,), (0, 1), (1, 2)):
        folder = tmp_path / f"without {numbers}"
        assert commands.run(printing(folder), RUN, closing(*numbers)) == 0, (folder / "err").read_text()
        assert result(folder) == right
        out, err = (folder / "out").read_text(), (folder / "err").read_text()
        assert (json.loads(out)["best"]["index"] if 1 not in numbers else 0) in (0, right[1])
        assert ("candidate" in err) == (2 not in numbers)


@pytest.mark.daily
def test_characters_beyond_the_encoding(tmp_path: Path, commands: Commands) -> None:
    """What a loss prints, and all that is shown of its sweep, is escaped where a stream cannot encode it."""
    narrow = "\n".join(
        f"sys.{name} = open({number}, 'w', encoding='{encoding}', closefd=False)"
        for number, name, encoding in ((1, "stdout", "ascii"), (2, "stderr", "cp1252"))
    )
    printing(tmp_path)
    for words in (
        ["check", "s.toml"],
        RUN,
        ["sweep", "s.toml"],
        ["show", "s"],
        ["replay", "s", "0"],
        ["init", "s:loss"],
    ):
        assert commands.run(tmp_path, words, narrow) == 0, (tmp_path / "err").read_bytes()
        assert (tmp_path / "out").read_bytes().isascii()
        if words == RUN:
            assert b"\\u2192 candidate \\udc80" in (tmp_path / "err").read_bytes()
    assert result(tmp_path)[2] == 0


KILLED = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_DFL)
PAUSE = 0 if os.path.exists("killed") else 0.01
def loss(x, y):
    time.sleep(PAUSE)
    if not os.path.exists("killed") and x > 1:
        open("killed", "w").close()
        os.kill(os.getpid(), signal.SIGTERM)
    return (x - 1) * (x - 1) + 0.5 * x
"""


@pytest.mark.daily
def test_a_loss_with_handlers_of_its_own_is_stopped_in_order(
    tmp_path: Path, commands: Commands, by_hand: Array
) -> None:
    """SIGTERM would end the process; what is done is stored, and the same command resumes."""
    write(tmp_path, KILLED)
    words = ["sweep", "h.toml", "--json", "--executor", "serial"]
    assert commands.run(tmp_path, words) == 128 + signal.SIGTERM
    assert json.loads((tmp_path / "out").read_text())["status"] == "stopped"
    assert "has put its own back" in (tmp_path / "err").read_text()
    found = commands.run(tmp_path, words), json.loads((tmp_path / "out").read_text())["best"]["index"]
    assert found == (0, by_hand.argmin())


WANDERER = """
import os
import numpy as np
class Wanderer:
    block = 4
    def away(self, result):
        os.makedirs("deeper", exist_ok=True)
        os.chdir("deeper")
        return result
    def __call__(self, w): return self.away(float(w @ w))
    def around(self, w):
        self.w = w
        return self.away(self)
    def deltas(self, coordinates, steps): return self.away(2 * self.w[coordinates] * steps + steps * steps)
    def gradient(self, w): return self.away(2 * w)
    def report(self, w): return self.away({"size": float(abs(w).sum())})
    def images(self, w): return self.away({"w": np.resize(w, (2, 3))})
    def digest(self): return self.away("same")
"""
GRADIENT = """
[objective]
make = "h:Wanderer"
[space]
w = { shape = [6] }
[method]
use = "gradient"
at = { fill = 0.5 }
[tracking]
use = "none"
"""


@pytest.mark.daily
def test_all_that_a_loss_offers_may_change_the_working_directory(tmp_path: Path, commands: Commands) -> None:
    """Each of its methods goes to another folder; all files are where the command began."""
    write(tmp_path, WANDERER)
    (tmp_path / "h.toml").write_text(GRADIENT)
    status = commands.run(tmp_path, ["sweep", "h.toml", "--json", "--executor", "serial"])
    assert status == 0, (tmp_path / "err").read_text()
    found = json.loads((tmp_path / "out").read_text())
    assert found["gradient"]["norm"] == pytest.approx(6**0.5)
    assert found["gradient"]["from_analytic"] < 1e-6
    state = tmp_path / found["state_dir"]
    assert {path.name for path in state.iterdir()} >= {"gradient.npz", "gradient.png", "point.npz", "result.json"}
    shown = commands.run(tmp_path, ["show", "h"]), (tmp_path / "out").read_text()
    assert shown[0] == 0
    assert "finished with 6" in shown[1]
    assert commands.run(tmp_path, ["replay", "h", "1"]) == 0


RISKY = (
    "a relative one",
    "one that is removed",
    "NumPy raises",
    "import path",
    "warnings are errors",
    "closed streams",
    "permissions",
    "no environment",
    "time-outs of sockets",
    "little recursion",
)
"""Habits that Ray itself may suffer from, in the command's process, where it starts, and in its workers."""


@pytest.mark.thorough
@pytest.mark.mostly_thorough(12)
@pytest.mark.parametrize("habit", RISKY)
def test_habits_at_import_with_ray(habit: str, tmp_path: Path, by_hand: Array) -> None:
    """Ray starts after the import, in the process that it has changed."""
    write(tmp_path, at_import(habit))
    words = ["sweep", "h.toml", "--json", "--executor", "ray", "--workers", "2"]
    done = optitrip_process(tmp_path, *words)
    (tmp_path / "out").write_text(done.stdout)
    (tmp_path / "err").write_text(done.stderr)
    check(tmp_path, done.returncode, by_hand)
    assert "local Ray workers" in done.stderr


@pytest.mark.thorough
@pytest.mark.mostly_thorough(2)
@pytest.mark.parametrize("executor", ["ray", "auto"])
def test_a_loss_that_clears_the_environment_while_ray_starts_or_runs(executor: str, tmp_path: Path) -> None:
    """Ray reads its token for each new connection, and hung without it. Where it cannot even start, `auto` goes on
    in this process."""
    write(tmp_path, in_calls("no environment").replace("    return", "    __import__('time').sleep(0.1)\n    return"))
    words = ["sweep", "h.toml", "--json", "--executor", executor, "--workers", "2", "--set", "method.candidates=250"]
    done = optitrip_process(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["items"] == 250
    assert "the loss changes its process: environment variables" in done.stderr
    assert executor == "auto" or "local Ray workers" in done.stderr


LATER = """
from optitrip.cli import main as cli
app = cli.app
def app_and_more():
    try:
        app()
    finally:
        print("bye")
        os.system("echo good")
cli.app = app_and_more
"""
"""Code that has a command print after its result, as the loss does in `atexit` or a thread."""


@pytest.mark.daily
def test_what_is_printed_after_the_result_is_no_part_of_it(tmp_path: Path, commands: Commands, by_hand: Array) -> None:
    """Standard output holds one JSON object, whenever the loss prints."""
    write(tmp_path, at_import("none"))
    assert commands.run(tmp_path, ["sweep", "h.toml", "--json", "--executor", "serial"], LATER) == 0
    assert json.loads((tmp_path / "out").read_text())["best"]["index"] == by_hand.argmin()
    assert {"bye", "good"} <= set((tmp_path / "err").read_text().split())


FORKING = """
import os, sys
ENDS = ["exit", "exit", "raise", "return"]
def loss(x, y):
    if x > 2 and ENDS:
        end, child = ENDS.pop(), os.fork()
        if child:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == {"exit": 7, "raise": 1, "return": 0}[end]
        elif end == "exit":
            sys.exit(7)
        elif end == "raise":
            raise ValueError("in the child")
        else:
            ENDS.clear()
            return 0.0
    return (x - 1) * (x - 1) + 0.5 * x
"""


def test_a_process_that_the_loss_forks_does_not_go_on(tmp_path: Path, commands: Commands, by_hand: Array) -> None:
    """It ends where it comes back from the loss, with the status of a script: it would be a second driver."""
    write(tmp_path, FORKING)
    status = commands.run(tmp_path, ["sweep", "h.toml", "--json", "--executor", "serial"])
    found = json.loads((tmp_path / "out").read_text())
    assert (status, found["failures"], found["best"]["index"]) == (0, {}, by_hand.argmin())
    err = (tmp_path / "err").read_text()
    assert err.count("ValueError: in the child") == 1
    assert "evaluation.py" not in err


@pytest.mark.daily
def test_a_loss_from_a_folder_that_its_module_puts_on_the_path(tmp_path: Path, by_hand: Array) -> None:
    """Workers import the module that the sweep names before the one that defines the loss."""
    folder = "os.path.join(os.path.dirname(__file__), 'lib')"
    write(tmp_path, f"{IMPORTS}\nsys.path.insert(0, {folder})\nfrom deep import loss")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "deep.py").write_text(at_import("none"))
    done = optitrip_process(tmp_path, "sweep", "h.toml", "--json", "--executor", "ray", "--workers", "1")
    (tmp_path / "out").write_text(done.stdout)
    (tmp_path / "err").write_text(done.stderr)
    check(tmp_path, done.returncode, by_hand)
