"""How sure the best candidate of a search is, in words."""

import math

from optitrip.core.arrays import Array
from optitrip.methods.search.method import SearchResult
from optitrip.methods.search.screening import Screening
from optitrip.space.candidates import Candidates

SEEN, ENTRIES = 1_000, 2**22
"""Number of candidates whose first draws show how many draws are feasible, and most numbers that are drawn for it."""
UNKNOWN = 0.01
"""Largest chance that the best of a random half is none of the stored best."""


def how_sure(result: SearchResult, screening: Screening | None, *, independent: bool, noisy: bool) -> list[str]:
    """Return how far ahead the best candidate is, and what more candidates, or fewer, would be expected to find.

    `independent` says that candidates are drawn independently, and that their losses did not end the search. Then the
    best of n + m is among the last m with a chance of m / (n + m), whatever the loss: every order is equally likely.
    `noisy` says that the loss itself is random.
    """
    lines = (
        ["the loss is random, so the best is partly luck: recheck = { best = 20 } evaluates it again"] if noisy else []
    )
    lines.append(runner_up(result))
    if screening:
        return [screening.summary, *lines]
    found = result.feasible - result.failures.count
    if not independent:
        return lines
    more = "more finite losses" if result.failures.count else "more candidates"
    chance = "at most " if len(result.best_loss) > 1 and result.best_loss[0] == result.best_loss[1] else ""
    lines += [f"{found:,} {more} beat it with a chance of {chance}50 %", f"{9 * found:,} with {chance}90 %"]
    half = best_of_half(result.best_loss, found)
    if half is not None:
        lines.append(f"half as many would have found {half:.6g} on average")
    return lines


def constraints_met(candidates: Candidates, result: SearchResult) -> str:
    """Return how many candidates are feasible, and how many draws are."""
    infeasible = f"{result.infeasible:,} of {result.items:,} ({result.infeasible / result.items:.3g})"
    if not candidates.redraw:
        return f"{infeasible} are infeasible, and not evaluated"
    seen = max(1, min(SEEN, ENTRIES // max(1, sum(candidates.space.sizes.values()))))
    share = candidates.feasible_share(seen)
    drawn = f"{100 * share:.3g} % of draws are feasible (of the first {seen:,}); others were drawn again"
    return f"{drawn}{f'; {infeasible} stayed infeasible' if result.infeasible else ''}"


def runner_up(result: SearchResult) -> str:
    """Return how far the second best candidate is behind."""
    if len(result.best_loss) < 2:
        return (
            "no other loss is stored" if result.feasible > 1 + result.failures.count else "it is the only finite loss"
        )
    behind = abs(float(result.best_loss[1]) - float(result.best_loss[0]))
    where = f"candidate {int(result.best_index[1]):,}"
    return f"the runner-up ({where}) is {behind:.3g} behind" if behind else f"the runner-up ({where}) is as good"


def best_of_half(losses: Array, found: int) -> float | None:
    """Return the mean best loss over all halves of the candidates with a finite loss, `found` in number, from the
    best losses of all, best first; None if these are too few to tell.

    The best of m out of n is the one of rank i, counted from 0, with a chance of C(n - 1 - i, m - 1) / C(n, m).
    """
    half = found // 2
    if not half:
        return None
    chances = [half / found]
    for rank in range(min(len(losses), found - half + 1) - 1):
        chances.append(chances[-1] * (found - half - rank) / (found - 1 - rank))
    if 1 - math.fsum(chances) > UNKNOWN:
        return None
    # The rest of the chance is given to the last one: the mean is at least this good.
    chances[-1] += 1 - math.fsum(chances)
    return math.fsum(chance * loss for chance, loss in zip(chances, losses.tolist(), strict=False))
