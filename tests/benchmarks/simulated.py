"""The plan on a large cluster, in virtual time: how near to the ideal it comes, and what it costs the driver.

    uv run python tests/benchmarks/simulated.py [--quick]

Nothing sleeps: a simulated cluster tells `optitrip.scheduler.plan` what became of its slices, as the driver would.
Slots are of uneven speed (log-normal, and every tenth four times slower), a slice takes 5 ms on top of its items, and
these are all alike or differ by a log-normal factor. The driver is either free of charge, which shows the plan alone,
or is busy for so many microseconds a slice, one slice after the other, which shows where a single driver ends.

Ideal is the time in which the slots together do the work of all items, without any of this.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from virtual_cluster import Cluster, item_costs, uneven


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1,000 slots for 30 s only")
    parser.add_argument("--driver", type=float, default=500, help="microseconds of the driver a slice; 500 by default")
    arguments = parser.parse_args()
    cases = [(1_000, 30.0)] if arguments.quick else [(1_000, 30.0), (10_000, 30.0), (10_000, 300.0)]
    columns = ["slots", "ideal", "items of", "costs", "driver a slice", "time over ideal", "slices"]
    columns += ["longest slice", "plan a step", "plan a slice"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for (slots, ideal), seconds, varying, driver in itertools.product(
        cases, (0.005, 0.05, 0.5), (False, True), (0.0, arguments.driver)
    ):
        slowness = uneven(slots, 1)
        if ideal * slots / seconds > 2e7:
            continue
        cluster = Cluster(slowness, item_costs(seconds, ideal, slowness, varying, 2), driver=driver * 1e-6)
        ratio, slices = cluster.run(), len(cluster.handed_out)
        print(
            f"| {slots:,} | {cluster.ideal:.0f} s | {1e3 * seconds:g} ms | {'varying' if varying else 'constant'} "
            f"| {driver:.0f} µs | {ratio:.3f} | {slices:,} | {cluster.longest:.1f} s "
            f"| {1e6 * cluster.plan_seconds / cluster.steps:.0f} µs "
            f"| {1e6 * cluster.plan_seconds / slices:.0f} µs |",
            flush=True,
        )


if __name__ == "__main__":
    main()
