"""A real little cluster on one machine: hosts in namespaces, with addresses, mounts and tokens of their own.

    sudo -E env PYTHONPATH=tests uv run --isolated --no-editable --group cluster-tests python -m cluster.run [ROW ...]

`--list` names the rows; without names, all of them run. Each prints a line: its name, whether all answers were those of
a serial run on this machine, the cause that was told, seconds, and what was left behind. `--json` prints objects,
`--log FOLDER` keeps what the commands printed, `--minutes N` is the length of the soak. `--shell` stops after the rows,
with the cluster up: `nsenter` into a host from the shell that it starts.

For your own scenarios, see `joining.py`: a function marked `@scenario` gets a `Trial`, whose `world.cluster` is a head
without CPUs and the workers w1, w2, w3 of 1, 2 and 2 CPUs. `python -m cluster.run --keep ROW` leaves nothing, either.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import world
from cluster.trial import PREPARATIONS, SCENARIOS, NotRun, Trial, World, leftovers

MODULES = ("alone", "joining", "refusals", "unlike", "submitted", "vanishing", "figures", "soak")
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Row:
    """What came of a scenario."""

    name: str
    state: str
    """ok, FAIL or not run."""
    equal: bool | None
    told: str
    seconds: float
    load: float
    """Load average of the machine over the last minute: times mean little on a busy one."""
    left: list[str]
    problems: list[str]
    figures: dict[str, Any]

    def line(self) -> str:
        answer = {None: "-", True: "equal", False: "DIFFERENT"}[self.equal]
        parts = [f"{self.name:28} {self.state:8} {answer:10} {self.seconds:6.1f} s at load {self.load:4.1f}"]
        parts += [f"left {self.left or 'nothing'}"]
        parts += [f"{name} {value}" for name, value in self.figures.items()]
        parts += [f'told "{self.told[:200]}"'] if self.told else []
        parts += [f"PROBLEM {problem}" for problem in self.problems]
        return "; ".join(parts)


def run_row(name: str, place: World, options: argparse.Namespace) -> Row:
    """Run a scenario, and look for what it left."""
    print(f"running {name} ...", file=sys.stderr, flush=True)
    trial, state = Trial(place, options.minutes), ""
    try:
        SCENARIOS[name](trial)
    except NotRun as reason:
        state = "not run"
        trial.told = str(reason)
    except Exception as error:
        trial.problems.append(f"{type(error).__name__}: {error}")
        trial.log.append(traceback.format_exc())
    left = leftovers(place)
    seconds = time.monotonic() - trial.begun
    state = state or ("FAIL" if trial.problems or left else "ok")
    if options.log:
        (options.log / f"{name}.log").write_text("\n".join([*trial.log, *trial.problems, *left]))
    return Row(name, state, trial.equal, trial.told, seconds, os.getloadavg()[0], left, trial.problems, trial.figures)


def inside(options: argparse.Namespace) -> int:
    """Run rows in the namespaces, as process 1 of them; all processes end with it."""
    world.set_up()
    place, failed = World(), 0
    for name in options.rows or SCENARIOS:
        row = run_row(name, place, options)
        print(json.dumps(vars(row)) if options.json else row.line(), flush=True)
        failed += row.state == "FAIL"
    if options.shell:
        print(f"hosts: { {host.name: host.init for host in place.hosts()} }; nsenter --all --target N", flush=True)
        subprocess.run([os.environ.get("SHELL", "sh")])
    return min(failed, 100)


def outside(options: argparse.Namespace, arguments: list[str]) -> int:
    """Prepare what needs a network, run this module in namespaces, and see what is left on this machine."""
    if reason := world.missing():
        for name in options.rows or SCENARIOS:
            row = Row(name, "not run", None, reason, 0.0, 0.0, [], [], {})
            print(json.dumps(vars(row)) if options.json else row.line(), flush=True)
        return 0
    rows = options.rows or SCENARIOS
    status, left = world.run_inside("cluster.run", arguments, [do for name, do in PREPARATIONS.items() if name in rows])
    print(f"left on this machine: {left or 'nothing'}", file=sys.stderr, flush=True)
    return status or bool(left)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="cluster.run")
    parser.add_argument("rows", nargs="*", metavar="ROW")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--shell", action="store_true")
    parser.add_argument("--log", type=Path)
    parser.add_argument("--minutes", type=float, default=15.0)
    options = parser.parse_args(arguments)
    for module in MODULES:
        importlib.import_module(f"cluster.{module}")
    if unknown := set(options.rows) - set(SCENARIOS):
        parser.error(f"no rows {sorted(unknown)}; there are {', '.join(SCENARIOS)}")
    if options.list:
        print("\n".join(f"{name:24} {(run.__doc__ or '').splitlines()[0]}" for name, run in SCENARIOS.items()))
        return 0
    if options.log:
        options.log = options.log.absolute()
        options.log.mkdir(parents=True, exist_ok=True)
    try:
        return inside(options) if world.INSIDE in os.environ else outside(options, arguments)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
