"""Evaluates the item that decides an answer again on other nodes of a cluster."""

from collections.abc import Sequence

from optitrip.core.executor import Done, Executor
from optitrip.core.part import Part
from optitrip.driver.loop import Loop
from optitrip.driver.stage import Stage
from optitrip.errors import StateError
from optitrip.scheduler.story import Story

NODES, MOST_SECONDS = 2, 10.0
"""Number of nodes that evaluate the item: at least one of them is not the one that did before, which the journal does
not know. Items that take longer are not evaluated again."""


def check_elsewhere(loop: Loop, executor: Executor, stage: Stage, whole: Part, noise: float) -> None:
    """Raise StateError if nodes of a cluster disagree, by more than the relative noise, on the loss that decides.

    Workers have proved before that they have the same code and libraries as the driver, but not the same drivers,
    files or processor, and a loss may read any of them.
    """
    witness = stage.method.witness(whole)
    if witness is None or loop.item_seconds > MOST_SECONDS or len(set(executor.nodes.values())) < NODES:
        return
    item, stored = witness
    losses: dict[str, float] = {}

    def see(done: Sequence[Done], story: Story, last: bool) -> None:
        del story, last
        for outcome in done:
            found = stage.method.witness(outcome.part)  # None if it failed there, e.g. because its worker died
            losses[executor.nodes.get(outcome.worker, outcome.worker)] = stored if found is None else found[1]

    for _ in range(NODES):
        loop.evaluate(stage, see, (), whole_slices=[range(item, item + 1)], avoid=list(losses))
    differ = [f"{loss!r} on {node}" for node, loss in losses.items() if not abs(loss - stored) <= noise * abs(stored)]
    if differ:
        raise StateError(
            f"{stage.method.title(item)} decides the answer, with a loss of {stored!r}, but evaluated again it is "
            f"{' and '.join(differ)}: the nodes of this cluster do not compute the same, so no result is given. Find "
            "what they read or use that differs, then start over with --fresh; a loss that is random on purpose "
            "says so: [objective] deterministic = false"
        )
