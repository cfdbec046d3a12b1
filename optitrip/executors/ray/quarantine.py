"""Finds nodes that kill whatever they evaluate, e.g. for a full disk or a broken driver, though other nodes do it."""

from __future__ import annotations

from collections import defaultdict

PROVEN = 3
"""Number of slices that must die on a node, and on no other one, to prove that the node is the cause."""

Work = tuple[int, range]
"""A stage and a slice of it."""


class Quarantine:
    """The slices that died on each node since a slice was last evaluated there."""

    def __init__(self) -> None:
        self._died: defaultdict[str, set[Work]] = defaultdict(set)
        self._cleared: defaultdict[str, set[Work]] = defaultdict(set)
        """Those of them that were evaluated elsewhere."""

    def died(self, node: str, work: Work) -> None:
        """Record that a worker died on a node under a slice."""
        self._died[node].add(work)

    def done(self, node: str, work: Work) -> list[str]:
        """Record that a slice, or a piece of one that died elsewhere, was evaluated on a node.

        Returns:
            The nodes that this proves to be the cause.
        """
        self._died.pop(node, None)
        self._cleared.pop(node, None)
        stage, items = work
        proven: list[str] = []
        for other, dead in self._died.items():
            cleared = self._cleared[other]
            before = len(cleared)
            cleared |= {
                (number, died)
                for number, died in dead
                if number == stage and died.start <= items.start and items.stop <= died.stop
            }
            if before < PROVEN <= len(cleared):
                proven.append(other)
        return proven
