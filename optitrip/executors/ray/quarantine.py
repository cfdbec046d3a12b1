"""Nodes that kill whatever they are given, e.g. for a full disk or a broken driver, though other nodes evaluate it."""

from __future__ import annotations

PROVEN = 3
"""So many slices that died on a node, and on no other one, tell that it is the node."""

Work = tuple[int, range]
"""A stage and a slice of it."""


class Quarantine:
    """What died where since anything was last done there."""

    def __init__(self) -> None:
        self._died: dict[str, set[Work]] = {}
        self._cleared: dict[str, set[Work]] = {}
        """Of these, what was done elsewhere."""

    def died(self, node: str, work: Work) -> None:
        """A worker died at a node under a slice."""
        self._died.setdefault(node, set()).add(work)

    def done(self, node: str, work: Work) -> list[str]:
        """A slice, or a piece of one that died elsewhere, is done at a node.

        Returns:
            Nodes that are proven by that to be the cause.
        """
        self._died.pop(node, None)
        self._cleared.pop(node, None)
        stage, items = work
        proven: list[str] = []
        for other, dead in self._died.items():
            cleared = self._cleared.setdefault(other, set())
            before = len(cleared)
            cleared |= {one for one in dead if one[0] == stage and inside(items, one[1])}
            if before < PROVEN <= len(cleared):
                proven.append(other)
        return proven


def inside(items: range, other: range) -> bool:
    return other.start <= items.start and items.stop <= other.stop
