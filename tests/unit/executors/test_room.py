"""Tests of the room that a cluster has when a sweep joins it."""

import socket
from typing import Any

import pytest

pytest.importorskip("ray")

from optitrip.executors.ray.cluster import answering
from optitrip.executors.ray.nodes import room


def node(port: int, *, alive: bool = True) -> dict[str, Any]:
    place = {"NodeManagerAddress": "127.0.0.1", "NodeManagerPort": port}
    return {**place, "Alive": alive, "Resources": {"CPU": 3.0}}


def test_a_node_that_has_just_died_has_no_room() -> None:
    """Ray calls a node alive for half a minute after its death: only those that answer have room."""
    with socket.create_server(("127.0.0.1", 0)) as there, socket.socket() as gone:
        gone.bind(("127.0.0.1", 0))  # nobody listens at it
        ports = there.getsockname()[1], gone.getsockname()[1]
        found = answering([node(ports[0]), node(ports[1]), node(ports[0], alive=False), node(ports[0])])
    assert [one["NodeManagerPort"] for one in found] == [ports[0], ports[0]]
    assert room(found, {"CPU": 2.0}) == 2  # a worker cannot be on two nodes
    assert answering([]) == []
