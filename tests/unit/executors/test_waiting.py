"""Tests of why no worker starts on a cluster, and of asking for workers again."""

from __future__ import annotations

import socket
from typing import Any

import pytest

pytest.importorskip("ray")

from ray.exceptions import RayError

from optitrip.core.notice import Notice
from optitrip.executors.ray import waiting
from optitrip.executors.ray.actor import WorkerHandle
from optitrip.executors.ray.starts import Starts
from optitrip.executors.ray.waiting import why_none

NEEDS = {"CPU": 1.0}


def node(name: str, **resources: float) -> dict[str, Any]:
    return {"NodeID": name, "Resources": {**resources, f"node:{name}": 1.0}}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stand in for what Ray tells of the cluster: what is free, and the actors of jobs."""
    told: dict[str, Any] = {"free": {}, "actors": {}}

    class State:
        def available_resources_per_node(self) -> Any:
            return told["free"]

        def actors(self, **_: object) -> Any:
            return {str(n): {"JobID": job} for n, job in enumerate(told["actors"])}

        def jobs(self) -> Any:
            return [{"JobID": "03", "Entrypoint": "optitrip sweep a.toml"}]

    monkeypatch.setattr(waiting, "STATE", State())
    return told


def test_a_cluster_without_nodes() -> None:
    """A head without CPUs evaluates nothing."""
    assert why_none([node("head", CPU=0)], NEEDS, "01") == "the cluster has no node with CPUs yet"


def test_a_resource_that_no_node_has() -> None:
    """Both what is wanted and what there is are named."""
    text = why_none([node("a", CPU=2)], {"CPU": 1.0, "gpu4": 1.0}, "01")
    assert text == "no node has 1 CPU, 1 gpu4; nodes have 2 CPU"


def test_a_busy_cluster(cluster: dict[str, Any]) -> None:
    """The job that holds the workers is named with its command; this one's own are not blamed."""
    cluster |= {"free": {"a": {}}, "actors": ["03", "03", "01"]}
    text = why_none([node("a", CPU=2)], NEEDS, "01")
    assert text == "all of 2 CPU is taken by job 03 (optitrip sweep a.toml) with 2 workers"
    cluster["actors"] = ["01"]
    assert "job" not in why_none([node("a", CPU=2)], NEEDS, "01").replace("tasks of other jobs", "")


def test_what_a_node_has_free_that_is_not_used_does_not_hide_the_cause(cluster: dict[str, Any]) -> None:
    """A host that is gone counts as alive for a while."""
    cluster |= {"free": {"a": {}, "gone": {"CPU": 4.0}}}
    assert why_none([node("a", CPU=2)], NEEDS, "01").startswith("all of 2 CPU is taken")
    cluster["free"]["a"] = {"CPU": 1.0}
    assert why_none([node("a", CPU=2)], NEEDS, "01") == ""


def test_a_node_that_does_not_answer_has_no_room(cluster: dict[str, Any]) -> None:
    """While the sweep has no worker, a host that just died does not hide who holds the CPUs of the others."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        alive = {**node("b", CPU=2), "Alive": True, "NodeManagerAddress": "127.0.0.1", "NodeManagerPort": port}
        dead = {**node("gone", CPU=4), "Alive": True, "NodeManagerAddress": "127.0.0.1", "NodeManagerPort": 1}
        cluster |= {"free": {"b": {}, "gone": {"CPU": 4.0}}, "actors": ["03"]}
        assert why_none([alive, dead], NEEDS, "01") == ""
        assert why_none([alive, dead], NEEDS, "01", waits=True).startswith("all of 2 CPU is taken by job 03")
        assert why_none([dead], NEEDS, "01", waits=True) == "none of 1 nodes with room answers"
        cluster["free"]["b"] = {"CPU": 1.0}
        assert why_none([alive, dead], NEEDS, "01", waits=True) == ""


def test_the_loss_of_all_workers_ends_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle workers were given back to another job; then the last one died in the middle of a slice."""
    started: list[int] = []
    monkeypatch.setattr(Starts, "_start", lambda self: started.append(1))
    starts = Starts(NEEDS, ((), (), "."), lambda worker, call: call, [], proves=True)
    starts.paused = True
    starts.fill(3, 1)
    assert started == []
    starts.fill(3, 0)
    assert len(started) == 3


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("The actor died.\nits process ended", "its process ended"),
        (
            "1 worker(s) were killed due to the node running low on memory.\nRead " + 99 * "more ",
            "running low on memory",
        ),
        ("", "RayError"),
    ],
)
def test_a_node_that_starts_no_worker_is_told_once(text: str, cause: str) -> None:
    """More workers were asked for there before it was used no more; Ray's advice is not its cause."""
    notices: list[Notice] = []
    starts = Starts(NEEDS, ((), (), "."), lambda worker, call: call, notices, proves=True)
    for _ in range(5):
        starts._not_started(WorkerHandle(None, node="a"), RayError(text))
    (notice,) = notices
    assert "3 workers in a row did not start" in notice.text
    assert cause in notice.text
    assert len(notice.text) < 200
