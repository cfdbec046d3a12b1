"""Kill processes of a local Ray again and again: `python ray_kills.py FOLDER KILLS SEED [KIND...]` prints JSON.

Each life is the command in a process of its own, which resumes what the life before left; one process of a kind is
killed at a random moment of it, while Ray starts or later. Only descendants of that command are killed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, Popen
from threading import Thread
from typing import Any

from command import start_optitrip

KINDS = {
    "raylet": ("/raylet/raylet --",),
    "gcs": ("/gcs_server --",),
    "agent": ("ray::DashboardAgent", "ray::RuntimeEnvAgent", "dashboard/agent.py", "runtime_env/agent/main.py"),
    "worker": ("ray::", "default_worker.py"),
    "monitor": ("monitor.py", "dashboard/dashboard.py"),
    "driver": ("optitrip.cli.main",),
}
"""Kinds of processes, and what their command lines contain; the first that fits counts, since raylets name agents."""
CANDIDATES, MOMENTS = 2_000, 12.0
"""Number of candidates, and the seconds from the start of a life within which something is killed."""
SILENCE_SECONDS, ORPHAN_SECONDS, PATIENCE_SECONDS = 40.0, 10.0, 60.0
FILES = ("best.npz", "candidates.parquet")
LOSS = """
import time

def loss(x: float) -> float:
    time.sleep(2e-3)
    return (x - 1.25) ** 2
"""
SWEEP = f"""
seed = 7
objective = {{ loss = "slowly:loss" }}
space.x = {{ uniform = [-5.0, 5.0] }}
method = {{ use = "search", candidates = {CANDIDATES} }}
run = {{ workers = 2 }}
tracking = {{ use = "none" }}
"""


@dataclass
class Family:
    """A process and its descendants, also those whose parent has died, by process id and start."""

    root: int
    members: dict[tuple[int, str], str] = field(default_factory=dict[tuple[int, str], str])

    def look(self) -> dict[int, str]:
        """Return the command lines of the members that are alive."""
        found: dict[int, tuple[int, str, str]] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended
                state, parent, *more = (folder / "stat").read_text().rpartition(")")[2].split()
                if state != "Z":
                    line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found[int(folder.name)] = int(parent), more[17], line
        known, more_found = {pid for pid, _ in self.members} | {self.root}, True
        while more_found:
            more_found = False
            for pid, (parent, start, line) in found.items():
                if pid == self.root or parent in known or (pid, start) in self.members:
                    more_found = more_found or pid not in known
                    known.add(pid)
                    self.members[pid, start] = line
        return {pid: line for pid, (_, start, line) in found.items() if (pid, start) in self.members}

    def kill(self) -> None:
        for pid in self.look():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


class Life:
    """One command, from its start to its end."""

    def __init__(self, folder: Path) -> None:
        words = ("sweep", "killed.toml", "--executor", "ray")
        self.process: Popen[str] = start_optitrip(
            folder, *words, stdout=DEVNULL, stderr=-1, start_new_session=True, bufsize=1
        )
        self.family = Family(self.process.pid)
        self.begun = self.last = time.monotonic()
        self.silence = 0.0
        """Longest time in seconds without a message after the kill."""
        self.said: list[str] = []
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.last = time.monotonic()
            self.said.append(line)

    def kill_one(self, kind: str, moment: float, draw: random.Random) -> bool:
        """Kill a process of a kind at a moment, or as soon as there is one; return False if the command has ended."""
        while self.process.poll() is None:
            alive = self.family.look()
            found = [pid for pid, line in alive.items() if kind_of(line) == kind]
            if found and time.monotonic() - self.begun >= moment:
                self.last = time.monotonic()
                with suppress(OSError):
                    os.kill(draw.choice(sorted(found)), signal.SIGKILL)
                    return True
            time.sleep(0.02)
        return False

    def end(self) -> int | None:
        """Wait for the end; return the exit status as a shell has it, or None if the command is silent for long."""
        while self.process.poll() is None:
            self.silence = max(self.silence, time.monotonic() - self.last)
            if self.silence > PATIENCE_SECONDS:
                return None
            self.family.look()
            time.sleep(0.05)
        self._reader.join(5)
        status = self.process.returncode
        return 128 - status if status < 0 else status

    def close(self) -> None:
        """Kill what is left of it."""
        self.family.kill()
        self.process.wait(5)
        self._reader.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def orphans(self) -> float:
        """Return the seconds that descendants have outlived the command, up to twice the allowed ones."""
        since = time.monotonic()
        while self.family.look() and time.monotonic() - since < 2 * ORPHAN_SECONDS:
            time.sleep(0.05)
        return time.monotonic() - since


def kind_of(line: str) -> str | None:
    return next((kind for kind, parts in KINDS.items() if any(part in line for part in parts)), None)


def results(root: Path) -> dict[str, bytes]:
    (folder,) = root.iterdir()
    return {name: (folder / name).read_bytes() for name in FILES}


def write(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "slowly.py").write_text(LOSS)
    (folder / "killed.toml").write_text(SWEEP)
    return folder


def ray_folders(pid: int) -> list[Path]:
    return list(Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray").glob(f"session_*_{pid}"))


def main(folder: Path, kills: int, seed: int, *kinds: str) -> dict[str, Any]:
    """Kill `kills` processes of each kind; return what came of it."""
    reference = write(folder / "whole")
    start_optitrip(reference, "sweep", "killed.toml", "--executor", "serial", stdout=DEVNULL, stderr=DEVNULL).wait()
    wanted = results(reference / ".optitrip")
    draw = random.Random(seed)
    todo = [kind for kind in kinds or KINDS for _ in range(kills)]
    draw.shuffle(todo)
    statuses: defaultdict[str, Counter[str]] = defaultdict(Counter)
    told: dict[str, Any] = {"sweeps": 0, "wrong": 0, "folders left": 0, "silence": 0.0, "orphans": 0.0, "strange": []}
    place = write(folder / "0")
    while todo or (place / ".optitrip").exists():
        kind = todo[-1] if todo else "none"
        life, moment = Life(place), draw.uniform(0.0, MOMENTS)
        try:
            if todo and life.kill_one(kind, moment, draw):
                todo.pop()
            else:
                kind = "none"
            status = life.end()
            orphans = life.orphans()
        finally:
            life.close()
        statuses[kind][str(status)] += 1
        told["silence"], told["orphans"] = max(told["silence"], life.silence), max(told["orphans"], orphans)
        strange = status not in (0, 75, 137) or life.silence > SILENCE_SECONDS or orphans > ORPHAN_SECONDS
        if strange or (status == 75 and "The same command resumes" not in "".join(life.said)):
            told["strange"].append([kind, round(moment, 2), status, life.silence, orphans, "".join(life.said)[-2000:]])
            print(told["strange"][-1], file=sys.stderr, flush=True)
        print(f"{kind} at {moment:.1f} s: {status}, silent {life.silence:.1f} s", file=sys.stderr, flush=True)
        if status == 0:
            told["sweeps"] += 1
            told["wrong"] += results(place / ".optitrip") != wanted
            told["folders left"] += len(ray_folders(life.process.pid))
            place = write(folder / str(told["sweeps"]))
        elif status is None and kind == "none":
            break
    return {**told, "kills": statuses, "silence": round(told["silence"], 1), "orphans": round(told["orphans"], 1)}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])))
