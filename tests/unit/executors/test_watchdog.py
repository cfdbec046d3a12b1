"""The watchdog of a local Ray: what is left of Ray goes after `kill -9` of the command, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

SCRIPT = """
import subprocess, sys, time
from pathlib import Path
from optitrip.executors.ray.watchdog import Watchdog

session = Path(sys.argv[1])
ray = str(session.parent / "ray")
watchdog = Watchdog(ray)
watchdog.tell(session)
for words, environment, errors in (
    ([ray], None, "/dev/null"), ([ray], {}, session / "errors"), ([ray], {}, "/dev/null"), ([], None, "/dev/null"),
):
    command = [sys.executable, "-S", "-c", "import time; time.sleep(1000)", *words]
    log = open(errors, "w")
    options = {"stderr": subprocess.DEVNULL, "pass_fds": [log.fileno()], "start_new_session": True}
    print(subprocess.Popen(command, env=environment, **options).pid, flush=True)
    log.close()
time.sleep(1000)
"""
"""A command that starts processes of Ray with its mark and without, of another Ray, and one of the user."""


def lives(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_what_is_left_after_the_command_was_killed(tmp_path: Path) -> None:
    """Marked processes of Ray, those that have lost their mark, and its folder; not those of others."""
    session = tmp_path / "session"
    session.mkdir()
    command = subprocess.Popen([sys.executable, "-c", SCRIPT, str(session)], stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    started = [int(command.stdout.readline()) for _ in range(4)]
    try:
        command.kill()
        until = time.monotonic() + 30
        while session.exists() and time.monotonic() < until:
            time.sleep(0.05)
        assert not session.exists()
        assert [lives(process) for process in started] == [False, False, True, True]
    finally:
        for process in started:
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        command.communicate()
