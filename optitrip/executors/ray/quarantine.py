"""Finds nodes that kill whatever they evaluate, e.g. for a full disk or a broken driver, though other nodes do it."""

from __future__ import annotations

PROVEN = 3
"""Number of slices that must die on a node, and on no other one, to prove that the node is the cause."""

Work = tuple[int, range]
"""A stage and a slice of it."""


class Quarantine:
    """The slices that died on each node since a slice was last evaluated there."""

    def __init__(self) -> None:
        self._died: dict[str, dict[Work, bool]] = {}
        """Slices by node, each with whether it was evaluated elsewhere."""

    def died(self, node: str, work: Work) -> None:
        self._died.setdefault(node, {}).setdefault(work, False)

    def done(self, node: str, work: Work) -> list[str]:
        """Record that a slice, maybe a piece of one that died, was evaluated here; return the nodes proven by that."""
        self._died.pop(node, None)
        stage, items = work
        proven: list[str] = []
        for other, died in self._died.items():
            before = sum(died.values())
            for number, dead in died:
                if number == stage and dead.start <= items.start and items.stop <= dead.stop:
                    died[number, dead] = True
            if before < PROVEN <= sum(died.values()):
                proven.append(other)
        return proven
