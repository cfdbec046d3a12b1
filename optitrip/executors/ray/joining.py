"""Checks before Ray is asked to join a cluster: Ray itself tries for a minute, and prints twenty lines of its log."""

import socket
import time
from collections.abc import Sequence
from concurrent.futures import wait
from typing import Any

import ray
import ray._private.services
import ray._raylet
import ray.exceptions

from optitrip.errors import InputError
from optitrip.executors.ray.own_log import without_own_log
from optitrip.runtime.background import BackgroundCall

CORE: Any = ray._raylet
SERVICES: Any = ray._private.services
"""Ray's own, which has no types."""
LISTEN_SECONDS, ANSWER_SECONDS, GIVE_UP_SECONDS, HEAD_SECONDS = 5.0, 4.0, 8.0, 1.0
TOKEN = "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH (or RAY_AUTH_TOKEN) to the token of the cluster"


def check_can_join(address: str) -> None:
    """Raise InputError, with the cause, if a cluster at host:port does not answer or this machine is no node of it."""
    failed = f"no Ray cluster could be joined at {address}: "
    try:
        check_listening(address, LISTEN_SECONDS)
    except OSError as error:
        raise InputError(f"{failed}nothing answers there ({error}); is its head running, and the port open?") from None
    if not has_token():
        raise InputError(f"{failed}this process has no token, though RAY_AUTH_MODE is token; {TOKEN}")
    with without_own_log():
        call = BackgroundCall(lambda: nodes_of(address))
        answered = bool(wait([call], GIVE_UP_SECONDS).done)
    if not answered:
        call.abandon(lambda _: None)
        raise InputError(f"{failed}something listens there, but does not answer; is it the head of a Ray cluster?")
    try:
        nodes = call.result()
    except ray.exceptions.AuthenticationError:
        raise InputError(f"{failed}the token of this process is missing or wrong; {TOKEN}") from None
    except Exception as error:
        raise InputError(f"{failed}{first_line(error)}; is it the head of a Ray cluster?") from None
    end = time.monotonic() + ANSWER_SECONDS
    while set(nodes).isdisjoint(SERVICES.find_node_ids()):
        if time.monotonic() > end:
            raise InputError(
                f"{failed}this machine is not one of its {len(nodes)} nodes. Run the command on a node, make this "
                f"machine one (ray start --address={address} --num-cpus=0), or send the sweep with optitrip submit"
            )
        time.sleep(0.5)


def nodes_of(address: str) -> Sequence[str]:
    """Return the ids of the nodes of the cluster whose head is at host:port."""
    return [identity.hex() for identity in CORE.GcsClient(address=address).get_all_node_info(timeout=ANSWER_SECONDS)]


def has_token() -> bool:
    """Return False if Ray wants a token and finds none; it would end this process."""
    if CORE.get_authentication_mode() != CORE.AuthenticationMode.TOKEN:
        return True
    try:
        return bool(CORE.AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True))
    except ray.exceptions.AuthenticationError:  # e.g. its file cannot be read
        return False


def check_listening(address: str, seconds: float) -> None:
    """Raise OSError if nothing listens at host:port."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()


def check_head() -> None:
    """Raise OSError if the head does not answer: calls that ask it would wait, and then end this process."""
    check_listening(str(ray.get_runtime_context().gcs_address), HEAD_SECONDS)


def first_line(error: BaseException) -> str:
    """Return the first line of the cause of an exception, which Ray wraps in another one."""
    return next(iter(str(error.__cause__ or error).splitlines()), repr(error))
