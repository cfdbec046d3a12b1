"""A soak: sweeps back to back in one driver, while a worker process is killed every 30 s.

For a day: `python -m cluster.run soak --minutes 1440`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import statistics
import time
from contextlib import suppress
from pathlib import Path

from cluster.ray_cluster import ADDRESS, BIN, RayCluster, shared_folder, workers_on
from cluster.sweeps import Project, Sweep
from cluster.trial import Trial, scenario

KILL_SECONDS = 30.0
BOWL = """
import time


def quick(x, y):
    return (x - 1) ** 2 + y * y


def loss(x, y):
    time.sleep(0.01)
    return quick(x, y)
"""


@scenario
def soak(trial: Trial) -> None:
    """Sweeps run back to back for --minutes, while a worker is killed every 30 s; the driver must not grow."""
    cluster, folder = trial.world.cluster, shared_folder("soak")
    shutil.copy(Path(__file__).with_name("soak_driver.py"), folder)
    (folder / "bowl.py").write_text(BOWL)
    seconds = trial.minutes * 60
    command = [f"{BIN}/python", "soak_driver.py", str(seconds), ADDRESS]
    sweep = Sweep(cluster.head, Project(folder, ""), command, folder / "none", str(folder))
    kills = kill_now_and_then(sweep, cluster, seconds)
    outcome = sweep.end(120)
    trial.seen(outcome)
    trial.check(outcome.status == 0, f"exit status {outcome.status}")
    judge(trial, [json.loads(line) for line in sweep.lines if line.startswith("{")], kills)


def kill_now_and_then(sweep: Sweep, cluster: RayCluster, seconds: float) -> int:
    """Kill a worker process every 30 s until the driver ends; return how many were killed."""
    kills, chosen = 0, random.Random(0)
    end = time.monotonic() + seconds + 60
    while sweep.process.poll() is None and time.monotonic() < end:
        waits_until = time.monotonic() + KILL_SECONDS
        sweep.wait_for(lambda: time.monotonic() > waits_until, KILL_SECONDS + 5)  # noqa: B023 - called at once
        found = [pid for host in cluster.workers.values() for pid in workers_on(host)]
        if found and sweep.process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(chosen.choice(found), signal.SIGKILL)
                kills += 1
    return kills


def judge(trial: Trial, told: list[dict[str, float]], kills: int) -> None:
    """Compare the first and the last third of the sweeps, without the one that started the workers."""
    third = max(1, (len(told) - 1) // 3)
    first, last = told[1 : 1 + third], told[-third:]
    trial.figures |= {"sweeps": len(told), "killed": kills}
    trial.check(len(told) >= 4, f"only {len(told)} sweeps")
    if not (first and last):
        return
    trial.equal = all(one["equal"] for one in told)
    trial.check(trial.equal, "an answer other than the serial one")
    trial.check(not any(one["failed"] for one in told), "items failed")
    for name, slack in (("bytes", 8 * 2**20), ("files", 4)):
        before, after = (statistics.median(one[name] for one in part) for part in (first, last))
        trial.figures[name] = f"{before:,.0f} to {after:,.0f}"
        trial.check(after <= before * 1.05 + slack, f"{name} grew from {before:,.0f} to {after:,.0f}")
