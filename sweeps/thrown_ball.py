"""How far from its target a thrown ball comes to rest: a loss with named parameters and no derivatives."""

import math

LOST_PER_BOUNCE = {"tennis": 0.45, "cricket": 0.6, "shot": 0.9}


def miss(speed: float, angle: float, drag: float, ball: str, bounces: int, target: float) -> float:
    """Metres between the place of the last bounce and the target, plus a little for every bounce."""
    travelled, pace = 0.0, speed
    for _ in range(bounces + 1):
        free = pace**2 * math.sin(math.radians(2 * angle)) / 9.81
        travelled += math.log1p(drag * free) / drag
        pace *= 1 - LOST_PER_BOUNCE[ball]
    return abs(travelled - target) + 0.01 * bounces
