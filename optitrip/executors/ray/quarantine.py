"""Detects nodes on which slices die that succeed elsewhere, e.g. because of a full disk or a broken driver."""

PROVEN = 3
"""Number of slices that must die on a node and succeed elsewhere to prove that the node is the cause."""

Work = tuple[int, range]
"""A stage and a slice of it."""


class Quarantine:
    """Tracks the slices that died on each node since its last success."""

    def __init__(self) -> None:
        self._died: dict[str, dict[Work, bool]] = {}
        """Slices by node; True if another node has evaluated the slice since."""

    def died(self, node: str, work: Work) -> None:
        self._died.setdefault(node, {}).setdefault(work, False)

    def done(self, node: str, work: Work) -> list[str]:
        """Record that a node evaluated a slice, or a piece of one that died; return nodes thereby proven broken."""
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
