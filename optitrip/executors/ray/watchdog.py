"""Ends what a local Ray has started once this process has ended, however it ended.

On Linux the kernel ends the head and the raylet with the process that started them, but not what these have started:
an agent that was just starting would go on for half a minute after a `kill -9`.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

VARIABLE = "OPTITRIP_LOCAL_RAY"
"""Environment variable that marks the processes of one Ray, which inherit it, as those of the user do."""
PROGRAM = """
import os, signal, sys, time

mark, folder, quiet = sys.argv[1].encode(), sys.argv[2].encode(), 0
sys.stdin.buffer.read()  # ends with the process that has started this one
for _ in range(40):
    quiet += 1
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/environ", "rb") as environment, open(f"/proc/{name}/cmdline", "rb") as line:
                marked, words = mark in environment.read().split(b"\\0"), line.read()
            if marked and int(name) != os.getpid() and (folder in words or words.startswith(b"ray::")):
                os.kill(int(name), signal.SIGKILL)
                quiet = 0
        except OSError:  # it has ended, or is another user's
            pass
    if quiet > 3:
        break
    time.sleep(0.25)
"""


def watch(folder: str) -> Callable[[], None]:
    """Mark the processes that this one starts from now on, and start the watchdog of those that Ray's code in a folder
    makes; return a function that ends both."""
    if sys.platform != "linux" or not Path("/proc/self/environ").exists():
        return lambda: None
    os.environ[VARIABLE] = secrets.token_hex(16)
    mark = f"{VARIABLE}={os.environ[VARIABLE]}"
    try:
        watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", PROGRAM, mark, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is not for it
        )
    except OSError:
        return lambda: None

    def end() -> None:
        if os.environ.get(VARIABLE) == mark.partition("=")[2]:
            del os.environ[VARIABLE]
        watchdog.kill()
        watchdog.communicate()

    return end
