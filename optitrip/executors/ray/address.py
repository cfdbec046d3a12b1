"""The cluster that a command joins, if any. Ray is not imported to find it."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from ipaddress import ip_address
from pathlib import Path

AUTO = "auto"
"""Ray's word for the cluster that this process belongs to, or the latest one that was started on this machine."""


def cluster_address(address: str | None) -> str | None:
    """Return the address of the cluster to join, or None to start Ray here.

    It is given, or in RAY_ADDRESS, or this process is part of a Ray job, or of `ray symmetric-run`, which does not set
    RAY_ADDRESS. A Ray that merely runs on this machine is not joined: it may be anybody's.
    """
    where = address or os.environ.get("RAY_ADDRESS") or symmetric_run_address()
    if where is None and os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR"):
        return AUTO
    return None if where == "local" else where


def joins_cluster(address: str | None) -> bool:
    return cluster_address(address) is not None


@cache
def symmetric_run_address() -> str | None:
    """Return the address given to the `ray symmetric-run` that this process descends from, or None; Linux only."""
    process = os.getppid()
    while process > 1 and sys.platform == "linux":
        try:
            words = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
            process = int(Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):  # it has ended
            return None
        if "symmetric-run" in words:
            return option("--address", words[words.index("symmetric-run") :])
    return None


def option(name: str, words: list[str]) -> str | None:
    for place, word in enumerate(words):
        if word == "--":
            break
        if word == name and place + 1 < len(words):
            return words[place + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None


def unprotected(address: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """Return a warning if a cluster beyond this machine is joined without a token; "" otherwise. Inside of a job, it is
    for who submitted it to know."""
    where = cluster_address(address)
    in_job = "RAY_JOB_CONFIG_JSON_ENV_VAR" in environment
    if where in (None, AUTO) or is_loopback(where or "") or in_job or environment.get("RAY_AUTH_MODE") == "token":
        return ""
    return (
        f"the Ray cluster at {where} is joined without a token: whoever reaches it can run code on it, as you. Use it "
        "only in a network that you trust, or start it with RAY_AUTH_MODE=token"
    )


def is_loopback(address: str) -> bool:
    """Return whether host:port, or a URL, names this machine alone."""
    host = address.rpartition("://")[2].rpartition(":")[0].strip("[]")
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"
