"""The cost of a shop with some tills, by simulating its queue for a day: a random loss, since customers come as they
like."""

import random

CUSTOMERS, TILL_COST, WAIT_COST = 500, 40.0, 2.0


def cost(tills: int, speed: float, seed: int) -> dict[str, float]:
    """Return the cost of a day, and the mean minutes that customers wait; `speed` is that of the tills, which costs."""
    draws = random.Random(seed)
    free = [0.0] * tills
    now = waited = 0.0
    for _ in range(CUSTOMERS):
        now += draws.expovariate(1.0)
        till = min(range(tills), key=free.__getitem__)
        start = max(now, free[till])
        waited += start - now
        free[till] = start + draws.expovariate(speed / 3.0)
    return {"loss": TILL_COST * tills * speed**1.5 + WAIT_COST * waited, "wait": waited / CUSTOMERS}
