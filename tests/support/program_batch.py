"""A batch of 40 runs of a program whose command is killed twice and interrupted once, one of which hangs and three of
which crash: `python program_batch.py --seconds 10` prints what came of it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from command import start_optitrip
from optitrip.config.read import parse_text
from program_habits import (
    EXECUTORS,
    JOURNAL_SECONDS,
    LATER_SECONDS,
    end_all,
    processes_of,
    scratch_folders,
    short_folder,
    soon,
)

RUNS, WORKERS = 40, 2
HANGING, CRASHING = (7,), (3, 17, 31)
"""Candidates whose runs do not end, and end by a signal."""
EVENTS = {10: signal.SIGKILL, 20: signal.SIGKILL, 30: signal.SIGINT}
"""Signal that the command gets once so many runs have ended."""
SWEEP = f"""
[program]
command = ["sh", "{{here}}/simulate", "{{n}}"]
timeout_seconds = TIMEOUT
[space]
n = {{ integer = [0, 1000000000] }}
[method]
use = "search"
candidates = {RUNS}
[run]
workers = {WORKERS}
[tracking]
use = "none"
[stop]
drain_seconds = 0.2
[failures]
allow = {len(HANGING + CRASHING)}
"""
SCRIPT = """
say() { echo $1 $2 $(date +%s.%N) >> $(dirname $0)/log; }
say begins $1
case $1 in HANGING) trap '' TERM HUP INT; while :; do sleep 1; done;; esac
sleep SECONDS
say ends $1
case $1 in CRASHING) kill -SEGV $$;; esac
echo $1
"""


class Batch:
    """The sweep, in a folder that is also that of its scratch folders."""

    def __init__(self, folder: Path, seconds: float, executor: str) -> None:
        self._folder, self._executor, self._log, self._kills = folder, executor, folder / "log", list[float]()
        self._scratch = folder / "t"
        self._scratch.mkdir()
        self._patience = 60 + 10 * RUNS * seconds
        text = SWEEP.replace("TIMEOUT", str(2 + 2 * seconds))
        (folder / "p.toml").write_text(text)
        values = parse_text(text, folder / "p.toml").candidates.values(range(RUNS))["n"].tolist()
        hanging, crashing = ("|".join(str(values[item]) for item in items) for items in (HANGING, CRASHING))
        script = SCRIPT.replace("HANGING", hanging).replace("CRASHING", crashing)
        (folder / "simulate").write_text(script.replace("SECONDS", str(seconds)))

    def run(self) -> dict[str, Any]:
        """Run the command until the sweep has an answer; return figures."""
        began = time.monotonic()
        try:
            for ended, number in EVENTS.items():
                self._live(ended, number)
            answer = self._live()
            soon(lambda: not processes_of(str(self._folder)) and not scratch_folders(self._scratch), LATER_SECONDS)
            left = processes_of(str(self._folder))
        finally:
            end_all(lambda: processes_of(str(self._folder)))
        begins, ends = self._said("begins"), self._said("ends")
        again = [name for name, stamps in ends.items() if len(stamps) > 1]
        return {
            "commands": len(EVENTS) + 1,
            "recorded": answer["items"],
            "failed": answer["failed"],
            "begun": sum(map(len, begins.values())),
            "ended by themselves": sum(map(len, ends.values())),
            "different ones of them": len(ends),
            "run again though recorded": sum(not self._just_ended(min(ends[name])) for name in again),
            "run again, killed while they were recorded": sum(self._just_ended(min(ends[name])) for name in again),
            "processes left": len(left),
            "folders left": len(scratch_folders(self._scratch)),
            "folders kept": len(list((self._folder / "runs").iterdir())),
            "seconds": round(time.monotonic() - began, 1),
        }

    def _just_ended(self, moment: float) -> bool:
        """Return whether a run ended so shortly before a kill that the journal may not have it."""
        return any(kill - JOURNAL_SECONDS < moment < kill for kill in self._kills)

    def _live(self, ended: int = 0, number: int = 0) -> dict[str, Any]:
        """Run the command until so many runs have ended, and send it a signal; or to its end, and return its answer."""
        words = ["sweep", "p.toml", "--executor", self._executor, "--json"]
        with (self._folder / "answer").open("wb") as out, (self._folder / "told").open("ab") as told:
            options: dict[str, Any] = {"stdout": out, "stderr": told, "start_new_session": True}
            driver = start_optitrip(self._folder, *words, environment={"TMPDIR": str(self._scratch)}, **options)
        try:
            if number:
                soon(lambda: len(self._said("ends")) >= ended, self._patience)
                time.sleep(JOURNAL_SECONDS)
                self._kills += [time.time()] if number == signal.SIGKILL else []
                os.killpg(driver.pid, number)
            driver.wait(self._patience)
        finally:
            driver.kill()
            driver.wait()
        return {} if number else json.loads((self._folder / "answer").read_text())

    def _said(self, word: str) -> dict[str, list[float]]:
        """Return the times at which the program has written a word, by parameter."""
        found: dict[str, list[float]] = {}
        for line in self._log.read_text().split("\n")[:-1] if self._log.exists() else ():
            said, name, stamp = line.split()
            if said == word:
                found.setdefault(name, []).append(float(stamp))
        return found


def batch(seconds: float, executor: str = "serial") -> dict[str, Any]:
    """Run a batch whose runs take so many seconds; return figures."""
    with short_folder() as folder:
        return Batch(folder, seconds, executor).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--executor", choices=EXECUTORS, default="serial")
    for name, figure in batch(**vars(parser.parse_args())).items():
        print(f"{name:42} {figure}")
