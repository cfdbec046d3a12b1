"""Measure optitrip and its peers on the same work: `uv run --group bench python tests/benchmarks/run.py`."""

from __future__ import annotations

import argparse
import os
import platform
import time

import numpy as np
from rich.console import Console
from threadpoolctl import threadpool_info

import sphere
from classifier import Images
from local_ray import local_ray
from numeric_gradient import hinge_gradient, softmax_gradient
from printing import duration, markdown, show
from random_search import random_search
from rounds import Unavailable, compete

WORKS = {
    "random_search": random_search,
    "softmax_gradient": softmax_gradient,
    "hinge_gradient": hinge_gradient,
    "sphere": sphere.uniform,
    "sphere_normal": sphere.normal,
}
ROUNDS, QUICK_ROUNDS = 5, 3


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure optitrip and its peers on the same work, in turns.")
    parser.add_argument("--only", action="append", choices=list(WORKS), help="this work alone; may be repeated")
    parser.add_argument("--cifar", metavar="FOLDER", help="of CIFAR-10's files; without it the images are the digits")
    parser.add_argument("--quick", action="store_true", help="fewer items, three rounds")
    parser.add_argument("--rounds", type=int, help=f"{ROUNDS} by default")
    parser.add_argument("--markdown", action="store_true", help="tables for a page")
    return parser.parse_args()


def machine() -> str:
    """Describe everything beside the code that the figures depend on."""
    blas = sorted(
        {f"{pool['internal_api']} {pool['architecture']}" for pool in threadpool_info() if "architecture" in pool}
    )
    python = f"Python {platform.python_version()}, NumPy {np.__version__}"
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""  # other work spoils the figures
    return f"{os.cpu_count()} cores{load}, {platform.machine()}, {python}, {', '.join(blas)}"


def ray_started() -> str:
    """Starts Ray, so that it is not counted as the start of the contestant that comes first."""
    begun = time.perf_counter()
    try:
        ray = local_ray()
    except Unavailable as missing:
        return str(missing)
    return f"Ray {ray.__version__}, started in {duration(time.perf_counter() - begun)}"


def main() -> None:
    given = arguments()
    which = Images(given.cifar)
    rounds = given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS)
    printed, status = Console(width=80), Console(stderr=True)
    printed.print(f"{machine()}\n{ray_started()}\n", highlight=False)
    with status.status("") as line:
        for name in given.only or WORKS:
            with WORKS[name](which, given.quick) as work:
                standings = compete(work, rounds, line.update)
            if given.markdown:
                print(markdown(standings), flush=True)
            else:
                show(standings, printed)


if __name__ == "__main__":
    main()
