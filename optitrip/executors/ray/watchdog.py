"""Ends what a local Ray has started once this process has ended, however it ended, and removes its folder.

On Linux the kernel ends the head and the raylet with the process that started them, but not what these have started:
an agent that was just starting would go on for half a minute after a `kill -9`.
"""

import os
import secrets
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

VARIABLE = "OPTITRIP_LOCAL_RAY"
"""Environment variable that marks the processes of one Ray, which inherit it, as those of the user do. Agents may
overwrite theirs when they rename themselves, but have their logs open, in the folder of Ray."""
PROGRAM = """
import os, shutil, signal, sys, time

mark, folder, quiet = sys.argv[1].encode(), sys.argv[2].encode(), 0
session = sys.stdin.buffer.read()  # ends with the process that has started this one
for _ in range(40):
    quiet += 1
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/environ", "rb") as environment, open(f"/proc/{name}/cmdline", "rb") as line:
                marked, words = mark in environment.read().split(b"\\0"), line.read()
            if int(name) == os.getpid() or not (folder in words or words.startswith(b"ray::")):
                continue
            opened = (os.fsencode(os.readlink(f"/proc/{name}/fd/{at}")) for at in os.listdir(f"/proc/{name}/fd"))
            if marked or session and any(session in file for file in opened):
                os.kill(int(name), signal.SIGKILL)
                quiet = 0
        except OSError:  # it has ended, or is another user's
            pass
    if quiet > 3:
        break
    time.sleep(0.25)
if session:
    shutil.rmtree(session, ignore_errors=True)
"""


class Watchdog:
    """Marks the processes that this one starts from now on, and ends those that Ray's code in a folder makes."""

    def __init__(self, folder: str) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if sys.platform != "linux" or not Path("/proc/self/environ").exists():
            return
        os.environ[VARIABLE] = self._value = secrets.token_hex(16)
        with suppress(OSError):
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", PROGRAM, f"{VARIABLE}={self._value}", folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is not for it
            )

    def tell(self, session: Path) -> None:
        """Tell it the folder of Ray's sockets and logs, once."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.write(os.fsencode(session))
                self._process.stdin.flush()

    def end(self) -> None:
        """End it, and mark no more processes."""
        if self._process is None:
            return
        if os.environ.get(VARIABLE) == self._value:
            del os.environ[VARIABLE]
        self._process.kill()
        self._process.communicate()
