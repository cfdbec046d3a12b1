"""Programs with bad habits, times what may happen to their sweep, times where they run: `python program_habits.py`
prints a table of what is recorded and what is left; words select rows that contain all of them.

Each case is a sweep of four candidates, two at a time. Runs end in the way of the habit until two have, and the others
wait for what happens; of a program that hangs, all do. All processes of a case have its folder in their command line or
their environment; its scratch folders, Ray's too, are in that folder.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

from command import start_optitrip
from optitrip.app.table import stored_table
from optitrip.errors import InputError
from optitrip.store.lookup import restore_sweep


@dataclass(frozen=True)
class Habit:
    """What a program does."""

    begin: str
    """What it does first."""
    end: str
    """How it ends."""
    status: str
    """Status of a run that has ended by itself."""


HABITS = {
    "hangs": Habit("trap '' TERM HUP INT; wait_for_ever", "", "none ends"),
    "crashes": Habit("", "kill -SEGV $$", "raised"),
    "is silent": Habit("", "", "raised"),
    "prints garbage": Habit("", r"head -c 100000 /dev/zero | tr '\000' '\377'", "raised"),
    "fills the disk": Habit("ulimit -f 20000; head -c 50000000 /dev/zero > big", "exit 1", "raised"),
    "forks": Habit("(wait_for_ever &); wait_for_ever & wait_for_ever &", "echo $1", "ok"),
    "is a daemon": Habit("(setsid sh $0 daemon < /dev/null > /dev/null 2>&1 &)", "echo $1", "ok"),
    "hides": Habit("(env -i setsid sh $0 daemon < /dev/null > /dev/null 2>&1 &)", "echo $1", "ok"),
}
"""The last one is a daemon without an environment."""
EVENTS = {
    "Ctrl-C": "",
    "SIGTERM": "",
    "max_seconds": "",
    "timeout": "raised",
    "kill -9 of the worker": "",
    "kill -9 of the driver": "",
}
"""Status of the runs that have not ended by then, empty if they are not recorded."""
BEGUN_AGAIN = ("kill -9 of the worker",)
"""Events after which the run that was hit begins again."""
SCRIPT = """
wait_for_ever() { while :; do sleep 1; done; }
[ $1 = daemon ] && { trap '' TERM HUP INT; wait_for_ever; }
log=$(dirname $0)/log
echo begins $1 >> $log
BEGIN
[ $(grep -c ends $log) -ge 2 ] && wait_for_ever
echo ends $1 >> $log
END
"""
SWEEP = """
[program]
command = ["sh", "{here}/simulate", "{n}"]
[space]
n = { integer = [0, 1000000000] }
[method]
use = "search"
candidates = 4
[run]
workers = 2
[tracking]
use = "none"
[stop]
drain_seconds = 0.5
"""
EXECUTORS = ("serial", "ray")
TIMEOUT_SECONDS = 2.0
MAX_SECONDS, LONGEST_SECONDS = 4.0, 64.0
"""Seconds until a sweep stops by itself; twice as many, and so on, if nothing has begun by then on a busy machine."""
JOURNAL_SECONDS, LATER_SECONDS, PATIENCE_SECONDS = 0.5, 5.0, 90.0
"""Time within which what has ended is in the journal, time in which processes may end, and the longest wait."""
MUCH_LATER_SECONDS = 10.0
"""Longest further wait for processes, to tell those that end by themselves from those that stay."""
FOLDERS = ("optitrip-*", "ray/session_2*")
"""Names of scratch folders."""


@dataclass(frozen=True)
class Found:
    """What a case has come to."""

    ended: set[int]
    """Parameters of the runs that ended by themselves."""
    cut: set[int]
    """Parameters of the others that began."""
    recorded: dict[int, str]
    """Status by parameter in the journal."""
    kept: int
    """Number of folders of runs that were kept."""
    processes: list[str]
    """Command lines of what still ran 5 s after the end of the command, or of a worker."""
    seconds: float
    """Time after the end of the command until nothing ran, at most 15 s."""
    folders: list[str]
    """Names of scratch folders that are left."""
    again: bool
    """True if the run of a killed worker was begun again."""

    def faults(self, habit: str, event: str) -> list[str]:
        """Return what is not as it should be."""
        wanted = dict.fromkeys(self.ended, HABITS[habit].status)
        if EVENTS[event]:
            wanted |= dict.fromkeys(self.cut, EVENTS[event])
        failed = sum(status == "raised" for status in wanted.values())
        checks = {
            "recorded": self.recorded == wanted,
            "runs": len(self.ended | self.cut) >= 2 and bool(self.cut),
            "kept": self.kept == failed,
            "processes": not self.processes,
            "folders": not self.folders,
            "again": self.again == (event in BEGUN_AGAIN),
        }
        return [name for name, right in checks.items() if not right]


class Case:
    """A sweep of a program with a habit, in a folder that is also that of its scratch folders."""

    def __init__(self, folder: Path, habit: str, event: str, executor: str, max_seconds: float) -> None:
        self._folder, self._event, self._executor, self._max_seconds = folder, event, executor, max_seconds
        self._scratch = folder / "t"
        self._scratch.mkdir()
        self._log = folder / "log"
        script = SCRIPT.replace("BEGIN", HABITS[habit].begin).replace("END", HABITS[habit].end)
        (folder / "simulate").write_text(script)
        (folder / "p.toml").write_text(SWEEP)
        self._least = 0 if habit == "hangs" else 2

    def run(self) -> Found:
        """Run the sweep until something happens to it; return what is left."""
        words = ["sweep", "p.toml", "--executor", self._executor]
        if self._event == "timeout":
            words += ["--set", f"program.timeout_seconds={TIMEOUT_SECONDS}"]
        if self._event == "max_seconds":
            words += ["--set", f"stop.max_seconds={self._max_seconds}"]
        environment = {"TMPDIR": str(self._scratch)}
        with (self._folder / "told").open("wb") as told:
            options: dict[str, Any] = {"stdout": told, "stderr": told, "start_new_session": True}
            driver = start_optitrip(self._folder, *words, environment=environment, **options)
        again, left = False, list[str]()
        try:
            if self._event not in ("timeout", "max_seconds"):
                again, left = self._happen(driver)
            driver.wait(PATIENCE_SECONDS)
            ended = time.monotonic()
            soon(lambda: not self._processes() and not scratch_folders(self._scratch), LATER_SECONDS)
            left += self._processes().values()
            folders = scratch_folders(self._scratch)
            soon(lambda: not self._processes(), MUCH_LATER_SECONDS)
            seconds = time.monotonic() - ended
            return Found(*self._logged(), self._recorded(), self._kept(), left, seconds, folders, again)
        finally:
            driver.kill()
            driver.wait()
            end_all(self._processes)

    def _happen(self, driver: Popen[str]) -> tuple[bool, list[str]]:
        """Wait until runs have ended and two have not; have something happen; return whether a run has begun again, and
        what is left of a worker."""
        soon(lambda: len(self._said("ends")) >= self._least and self._waiting(), PATIENCE_SECONDS)
        time.sleep(JOURNAL_SECONDS)
        match self._event:
            case "Ctrl-C":
                os.killpg(driver.pid, signal.SIGINT)
            case "SIGTERM":
                driver.terminate()
            case "kill -9 of the driver":
                driver.kill()
            case _:
                answer = self._kill_worker()
                driver.terminate()
                return answer
        return False, []

    def _kill_worker(self) -> tuple[bool, list[str]]:
        """Kill a process that runs programs; return whether its run has begun again, and what is left of it 5 s
        later."""
        lines, began = self._processes(), len(self._said("begins"))
        watcher = min(pid for pid, line in lines.items() if "nanny.py" in line and children(pid))
        worker = watcher if self._executor == "serial" else parent(watcher)
        below = {worker, *descendants(worker)} & set(lines)
        os.kill(worker, signal.SIGKILL)
        soon(lambda: not below & set(self._processes()), LATER_SECONDS)
        left = [line for pid, line in self._processes().items() if pid in below]
        soon(lambda: len(self._said("begins")) > began, LATER_SECONDS)
        return len(self._said("begins")) > began, left

    def _said(self, word: str) -> list[int]:
        lines = self._log.read_text().split("\n")[:-1] if self._log.exists() else []
        return [int(line.split()[1]) for line in lines if line.startswith(word)]

    def _waiting(self) -> bool:
        """Return whether all that will begin before something happens has begun."""
        began, ended = len(self._said("begins")), len(self._said("ends"))
        return began - ended == min(2, 4 - ended)

    def _logged(self) -> tuple[set[int], set[int]]:
        ended = set(self._said("ends"))
        return ended, set(self._said("begins")) - ended

    def _recorded(self) -> dict[int, str]:
        (state,) = (self._folder / ".optitrip").iterdir()
        try:
            table = stored_table(restore_sweep(state, state.parent), state)
        except InputError:  # nothing is stored
            return {}
        return dict(zip(map(int, table["n"].tolist()), map(str, table["status"].tolist()), strict=True))

    def _kept(self) -> int:
        return len(list((self._folder / "runs").glob("*")))

    def _processes(self) -> dict[int, str]:
        """Return the command lines of the processes of this case that have not ended."""
        return processes_of(str(self._folder))


def scratch_folders(folder: Path) -> list[str]:
    """Return the names of the scratch folders that are left in a folder."""
    return [path.name for pattern in FOLDERS for path in folder.glob(pattern)]


def processes_of(mark: str) -> dict[int, str]:
    """Return the command lines of processes that have a mark in it, or in their environment, which Ray's agents may
    overwrite, but not in the names of their logs."""
    found: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            line = (folder / "cmdline").read_bytes()
            opened = [os.readlink(file) for file in (folder / "fd").iterdir()] if line.startswith(b"ray::") else []
            if mark.encode() in line + (folder / "environ").read_bytes() or any(mark in file for file in opened):
                found[int(folder.name)] = line.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def end_all(processes: Callable[[], dict[int, str]]) -> None:
    """Kill processes, and those that they start meanwhile."""
    while found := processes():
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def children(process: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # the thread has ended
            found += map(int, task.read_text().split())
    return found


def descendants(process: int) -> Iterator[int]:
    for child in children(process):
        yield child
        yield from descendants(child)


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def soon(condition: Callable[[], Any], seconds: float) -> None:
    """Wait until something is true, at most some seconds."""
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)


@contextmanager
def short_folder() -> Generator[Path]:
    """Make a folder for a case; paths of Ray's sockets may have 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="habit-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def tried(habit: str, event: str, executor: str) -> Found:
    """Try a case out."""
    seconds = MAX_SECONDS if executor == "serial" else 4 * MAX_SECONDS  # Ray takes five to start
    while True:
        with short_folder() as folder:
            found = Case(folder, habit, event, executor, seconds).run()
        if event != "max_seconds" or "runs" not in found.faults(habit, event) or seconds >= LONGEST_SECONDS:
            return found
        seconds *= 2


def row(habit: str, event: str, executor: str, found: Found) -> str:
    """Return a line of the table."""
    statuses = list(found.recorded.values())
    recorded = f"{statuses.count('ok')} ok, {statuses.count('raised')} failed"
    runs = f"{len(found.ended)}+{len(found.cut)}"
    faults = found.faults(habit, event)
    left = str(len(found.processes)), f"{found.seconds:.1f} s", str(len(found.folders)), str(found.kept)
    cells = (habit, event, executor, runs, recorded, *left)
    return f"{aligned(cells)} {'OK' if not faults else 'NOT: ' + ', '.join(faults)}"


def aligned(cells: tuple[str, ...]) -> str:
    return " ".join(cell.ljust(width) for cell, width in zip(cells, (14, 21, 8, 4, 14, 9, 6, 7, 4), strict=True))


def main(*words: str) -> int:
    """Print the table; return the number of rows that are not as they should be."""
    print(aligned(("habit", "event", "executor", "runs", "recorded", "processes", "gone", "folders", "kept")))
    wrong = 0
    for habit, event, executor in itertools.product(HABITS, EVENTS, EXECUTORS):
        if all(word in f"{habit} {event} {executor}" for word in words):
            found = tried(habit, event, executor)
            print(row(habit, event, executor, found), flush=True)
            for line in [*found.processes, *found.folders]:
                print(f"    left: {line[:90]}", flush=True)
            wrong += bool(found.faults(habit, event))
    return wrong


if __name__ == "__main__":
    print("runs: those that ended by themselves + others that began; processes: left after 5 s;")
    print("gone: when none was left; folders: scratch folders after 5 s; kept: folders of failed runs")
    sys.exit(main(*sys.argv[1:]) > 0)
