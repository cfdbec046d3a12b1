"""The simulator of spring.c for machines without a compiler: `python spring.py DECK`."""

import math
import sys
from pathlib import Path


def main(deck: str) -> None:
    """Integrate a damped spring, and print how far its motion is from a measured one."""
    lines = [line.split("=") for line in Path(deck).read_text().splitlines() if "=" in line]
    given = {name.strip(): float(value) for name, value in lines}
    stiffness, damping = given["stiffness"], given["damping"]
    if stiffness <= 0 or damping < 0 or damping**2 > 4 * stiffness:
        sys.exit(f"no oscillation with stiffness {stiffness:g} and damping {damping:g}")
    position, velocity, total, step = 1.0, 0.0, 0.0, 1e-3
    for n in range(10_000):
        t = n * step
        total += (position - math.exp(-0.15 * t) * math.cos(1.9943670675 * t)) ** 2
        velocity += step * (-stiffness * position - damping * velocity)
        position += step * velocity
    sys.stdout.write(f"steps = 10000\nrms = {math.sqrt(total / 10_000):.12e}\n")


if __name__ == "__main__":
    main(sys.argv[1])
