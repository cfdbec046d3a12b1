"""The driver of the soak, `soak_driver.py SECONDS HOST:PORT`: searches one after the other, told as JSON lines."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from bowl import loss, quick  # pyright: ignore - of the folder into which this file is copied

import optitrip

SPACE = {"x": {"uniform": [-5, 5]}, "y": {"uniform": [-5, 5]}}
CANDIDATES = 1500


def bytes_held() -> int:
    """Return the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(seconds: float, address: str) -> None:
    end, seed = time.monotonic() + seconds, 0
    with optitrip.Session(executor="ray", address=address) as trip:
        while time.monotonic() < end:
            seed += 1
            begun = time.monotonic()
            found = trip.search(loss, SPACE, candidates=CANDIDATES, seed=seed)
            row = {"seconds": time.monotonic() - begun, "failed": sum(found.failures.values())}
            here = optitrip.search(quick, SPACE, candidates=CANDIDATES, seed=seed, executor="serial")
            row |= {"equal": bool(np.array_equal(found.loss, here.loss)), "bytes": bytes_held()}
            print(json.dumps(row | {"files": len(os.listdir("/proc/self/fd"))}), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2])
