"""Kill a driver that mirrors its journal, and delete its state: `python mirror_kills.py FOLDER KILLS SEED` prints JSON.

Each life is a fork that begins from the mirror and copies again and again. It ends by SIGKILL at a random moment or
before, in the middle of or after one of its transfers; then, as a rule, the state directory is gone.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from driver_kills import CANDIDATES, FILES, SETTINGS, TABLES, append_line, lines
from optitrip.app.context import Options
from optitrip.app.run_sweep import run_sweep
from optitrip.config.locations import Lines
from optitrip.config.read import parse_draft
from optitrip.core.observer import Observers
from optitrip.executors.serial import Worker
from optitrip.journal import mirror
from optitrip.journal.copies import described
from optitrip.journal.journal import Journal
from optitrip.output.outcome import Outcome
from optitrip.runtime.remote import Folder
from optitrip.store.lookup import resolve

POINTS = ("before a transfer", "in a transfer", "after a transfer")
# Nothing is evaluated to check what is stored: what is evaluated twice is then what was lost.
SWEEP: dict[str, Any] = {**TABLES, "objective": {"loss": "driver_kills:loss", "deterministic": False}}


def live(root: Path, far: Path | None) -> Outcome:
    """Run the sweep, or go on with it from its mirror."""
    sweep = resolve(parse_draft(SWEEP, Lines(None, ""), "killed", Path(__file__).parent))
    uri = None if far is None else far.as_uri()
    return run_sweep(sweep, Options(root, settings=SETTINGS, mirror=uri, restore=uri), Observers())


def arm(folder: Path, point: str | None, count: int) -> None:
    """Record what is evaluated; have this process die at the `count`th transfer, and copy without pauses."""
    put, evaluate, left = Folder.put, Worker.evaluate, [count]

    def putting(self: Folder, name: str, source: Path) -> None:
        left[0] -= 1
        if not left[0] and point == "in a transfer":
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            data = source.read_bytes()
            (self.path / f"{name}.part").write_bytes(data[: len(data) // 2])
        if not left[0] and point in ("before a transfer", "in a transfer"):
            os.kill(os.getpid(), signal.SIGKILL)
        put(self, name, source)
        if not left[0] and point:
            os.kill(os.getpid(), signal.SIGKILL)

    def evaluating(worker: Any, method: Any, items: range, *more: Any) -> Any:
        append_line(folder / "evaluated", items.start, items.stop)
        return evaluate(worker, method, items, *more)

    Folder.put, Worker.evaluate = putting, evaluating  # type: ignore[method-assign]
    defaults: Any = mirror.Mirror.__init__.__kwdefaults__
    defaults["pause"], mirror.SHARE = 0.0, 0


def life(folder: Path, draw: random.Random) -> str:
    """Run one life, and return how it ended."""
    point = draw.choice([None, *POINTS])
    count, delay = draw.randint(1, 12), draw.uniform(0.02, 0.4)
    child = os.fork()
    if not child:
        try:
            arm(folder, point, count)
            os._exit(0 if live(folder / "root", folder / "far").status == "finished" else 1)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(2)
    if point is None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return point or "at random"
    if os.WEXITSTATUS(status):
        raise SystemExit(f"a life failed with status {os.WEXITSTATUS(status)}")
    return "finished"


def copied(folder: Path, label: str) -> set[int]:
    """Return the items in the mirror, whose copy must be whole and sound."""
    copy = described(Folder(folder / "far"), label, folder / "scratch")
    if copy is None:
        return set()
    Folder(folder / "far").get(f"{label}/{copy.file}", folder / "fetched")
    journal = Journal(folder / "fetched", label[-8:], reading=True)
    items = {item for _, _, items, _ in journal.rows() for item in items}
    journal.close()
    return items


def main(folder: Path, kills: int, seed: int) -> None:
    whole = live(folder / "whole", None)
    assert whole.state_dir is not None
    label = Path(whole.state_dir).name
    wanted = {name: Path(whole.state_dir, name).read_bytes() for name in FILES}
    draw, ends, found = random.Random(seed), Counter[str](), Counter[str]()
    place = folder / "0"
    while sum(ends.values()) - ends["finished"] < kills:
        place.mkdir(exist_ok=True)
        before, done = copied(place, label), len(lines(place / "evaluated"))
        end = life(place, draw)
        ends[end] += 1
        evaluated = {item for lo, hi in lines(place / "evaluated")[done:] for item in range(lo, hi)}
        found["evaluated though copied"] += len(evaluated & before)
        found["lost from the mirror"] += len(before - copied(place, label))
        if end == "finished":
            found["sweeps finished"] += 1
            found["not copied at the end"] += CANDIDATES - len(copied(place, label))
            found["wrong"] += wanted != {name: (place / "root" / label / name).read_bytes() for name in FILES}
            place = folder / str(found["sweeps finished"])
        elif draw.random() < 0.8:
            found["states deleted"] += 1
            found["begun from a copy"] += bool(copied(place, label))
            shutil.rmtree(place / "root", ignore_errors=True)
    print(json.dumps({"kills": dict(ends), **found}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
