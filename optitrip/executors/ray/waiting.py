"""Why no worker starts on a cluster, for the user who waits."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
import ray._private.state

from optitrip.executors.ray.cluster import answering
from optitrip.executors.ray.joining import check_head
from optitrip.executors.ray.nodes import Nodes, fits

STATE: Any = ray._private.state
"""Calls of Ray that it does not promise to keep."""


@dataclass(frozen=True)
class View:
    """The cluster at one time."""

    nodes: Sequence[Mapping[str, Any]]
    """Nodes that are alive, as Ray describes them."""
    reason: str
    """Reason why no worker starts, as far as the cluster tells; "" if one should soon."""
    others_wait: bool
    """True if workers of other jobs wait for resources."""


def look(needs: Mapping[str, float], known: Nodes, job: str, *, waits: bool) -> View:
    """Look at the cluster; `job` is this one, and `waits` while it has no worker. Without the head, the calls of Ray
    wait for it."""
    excluded, causes = dict(known.excluded), known.causes
    nodes: list[dict[str, Any]] = [node for node in ray.nodes() if node["Alive"]]
    usable = [node for node in nodes if node["NodeID"] not in excluded]
    reason = why_none(usable, needs, job, waits=waits)
    return View(nodes, f"{reason}; not used: {causes}" if reason and causes else reason, others_wait(job))


def why_none(usable: Sequence[Mapping[str, Any]], needs: Mapping[str, float], job: str, *, waits: bool = False) -> str:
    """Return why no worker with these needs starts on some nodes; with `waits`, nodes that do not answer do not count
    as free, for one that dies counts as alive for up to a minute."""
    with_cpus = [node for node in usable if node["Resources"].get("CPU", 0) > 0]
    if not with_cpus and needs.get("CPU", 0) > 0:
        return "the cluster has no node with CPUs yet"
    if not any(fits(node["Resources"], needs) for node in usable):
        return f"no node has {listed(needs)}; nodes have {' | '.join(map(offer, with_cpus))}"
    # Asked node by node: what an excluded node has free does not help.
    free: Mapping[str, Mapping[str, float]] = STATE.available_resources_per_node()
    with_room = [node for node in usable if fits(free.get(node["NodeID"], {}), needs)]
    if with_room and (not waits or answering(with_room)):
        return ""
    usable = [node for node in usable if node not in with_room]
    if not usable:
        return f"none of {len(with_room)} nodes with room answers"
    totals = {name: sum(node["Resources"].get(name, 0) for node in usable) for name, need in needs.items() if need > 0}
    return f"all of {listed(totals)} is taken{by_whom(job)}"


def listed(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{value:g} {name}" for name, value in sorted(resources.items()) if value > 0)


def offer(node: Mapping[str, Any]) -> str:
    """Describe the resources of a node that a user may ask for."""
    return listed({name: value for name, value in node["Resources"].items() if is_asked_for(name)})


def is_asked_for(resource: str) -> bool:
    return not resource.startswith("node:") and resource != "object_store_memory"


def by_whom(own: str) -> str:
    """Return the jobs, other than this one, that have actors on the cluster, with their commands."""
    counts = Counter[str]()
    commands: dict[str, str] = {}
    with suppress(Exception):
        counts.update(actor["JobID"] for actor in STATE.actors(actor_state_name="ALIVE").values())
        commands = {job["JobID"]: str(job.get("Entrypoint", "")) for job in STATE.jobs()}
    del counts[own]
    jobs = [f"{described(job, commands)} with {count} workers" for job, count in counts.most_common(3)]
    return f" by {' and '.join(jobs)}" if jobs else ", by tasks of other jobs or workers that are starting"


def described(job: str, commands: Mapping[str, str]) -> str:
    command = commands.get(job, "")
    return f"job {job} ({command if len(command) <= 60 else command[:57] + '...'})" if command else f"job {job}"


def others_wait(job: str) -> bool:
    """Return whether actors of jobs other than this one wait for resources."""
    with suppress(Exception):
        waiting = STATE.actors(actor_state_name="PENDING_CREATION").values()
        return any(actor["JobID"] != job for actor in waiting)
    return False


def node_of(actor_id: str) -> str:
    """Return the node on which an actor is, or was; "" if it never had one."""
    with suppress(Exception):
        check_head()
        node = str(STATE.actors(actor_id)["Address"]["NodeID"])
        return "" if set(node) <= {"f"} else node
    return ""
