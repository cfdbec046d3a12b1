"""The nodes of a cluster: how many workers they have room for, and which ones are used no more, and why."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

STARTS_ALLOWED = 3
"""Number of workers in a row that may fail to start on a node before it is used no more."""


class Nodes:
    """The nodes that workers may run on."""

    def __init__(self) -> None:
        self.excluded: dict[str, str] = {}
        """Causes by id of the nodes that are used no more."""
        self._failed = Counter[str]()
        self._lost = set[str]()
        self._names: dict[str, str] = {}

    def see(self, nodes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Note the names of nodes, as Ray describes them; return them without the excluded ones."""
        self._names |= {node["NodeID"]: name_of(node) for node in nodes}
        return [node for node in nodes if node["NodeID"] not in self.excluded]

    def note_address(self, node: str, address: str) -> None:
        self._names.setdefault(node, address)

    def name(self, node: str) -> str:
        return self._names.get(node) or f"node {node[:8]}"

    def started(self, node: str) -> None:
        del self._failed[node]

    def failed_start(self, node: str, cause: str) -> bool:
        """Count a worker that did not start; return whether its node is excluded because of this one."""
        self._failed[node] += 1
        if self._failed[node] < STARTS_ALLOWED or node in self.excluded:
            return False
        self.excluded[node] = f"{self._failed[node]} workers in a row did not start: {cause}"
        return True

    def lost(self, node: str) -> str:
        """Note a node that has left the cluster; return the text of a notice, "" if it was noted before."""
        news = node not in self._lost
        self._lost.add(node)
        text = f"{self.name(node)} has left the cluster; what it was evaluating is evaluated elsewhere"
        return text if news else ""

    @property
    def causes(self) -> str:
        """Names and causes of the excluded nodes, each cause once."""
        by_cause: dict[str, list[str]] = {}
        for node, cause in self.excluded.items():
            by_cause.setdefault(cause, []).append(self.name(node))
        return "; ".join(f"{', '.join(sorted(names))}: {cause}" for cause, names in by_cause.items())


def name_of(node: Mapping[str, Any]) -> str:
    """Return the host name and address of a node."""
    address, host = node.get("NodeManagerAddress", ""), node.get("NodeManagerHostname", "")
    return f"{host} ({address})" if host and host != address else str(address)


def room(nodes: Iterable[Mapping[str, Any]], needs: Mapping[str, float]) -> int:
    """Return the number of workers that nodes have resources for, whoever uses them now."""
    return sum(fits(node["Resources"], needs) for node in nodes)


def fits(resources: Mapping[str, float], needs: Mapping[str, float]) -> int:
    """Return how many workers with these needs fit into the resources of a node."""
    return min((int(resources.get(name, 0) / need) for name, need in needs.items() if need > 0), default=1)
