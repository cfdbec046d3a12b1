"""Hosts without Ray: what the other rows rely on."""

from __future__ import annotations

import socket
import time
from contextlib import closing, suppress

from cluster.hosts import Host
from cluster.trial import Trial, scenario

PORT = 7000


@scenario
def hosts_alone(trial: Trial) -> None:
    """Hosts have addresses, files and processes of their own; links are cut and mended; one is destroyed, one stays."""
    one, two = Host("one", "10.77.0.71"), Host("two", "10.77.0.72")
    trial.check(one.call("hostname").strip() == "one", "no name of its own")
    one.call("touch /tmp/here /dev/shm/here /srv/own/here; echo 1 >/srv/shared/seen")
    seen = two.call("ls /tmp /dev/shm /srv/own; cat /srv/shared/seen").split()
    trial.check("here" not in seen and "1" in seen, f"host two sees {seen}")
    trial.check(two.processes() == {}, f"processes {two.processes()}")
    script = f"import socket, time; s = socket.create_server(('{two.address}', {PORT})); time.sleep(60)"
    two.popen("python3", "-c", script)
    trial.check(answers(two.address, 10), "no answer over the link")
    two.cut()
    trial.check(not answers(two.address, 1), "an answer over a cut link")
    two.mend()
    trial.check(answers(two.address, 10), "no answer over a mended link")
    trial.check(two.bytes_on_wire() > 0, "no bytes were counted")
    two.destroy()
    trial.check(not two.alive, "alive after its end")
    trial.check(not answers(two.address, 1), "an answer of a destroyed host")


def answers(address: str, seconds: float) -> bool:
    """Return whether something listens there within a time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError), closing(socket.create_connection((address, PORT), timeout=1)):
            return True
        time.sleep(0.1)
    return False
