"""Asks git about the folder of a sweep file, whatever git is or does: it may hang, or print without end."""

import os
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

ANSWER_KEPT = 10_000
"""Bytes read of an answer."""
GIT_SECONDS = 5.0
QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_ASKPASS": "", "SSH_ASKPASS": ""}


def git_tags(folder: Path) -> dict[str, str]:
    """Return commit, branch and dirtiness of the repository that contains a folder; raise an exception if git does not
    tell: any, since a locale may be unable to spell the path."""
    return {
        "mlflow.source.git.commit": ask_git(folder, "rev-parse", "HEAD"),
        "mlflow.source.git.branch": ask_git(folder, "rev-parse", "--abbrev-ref", "HEAD"),
        "mlflow.source.git.dirty": str(bool(ask_git(folder, "status", "--porcelain", "--untracked-files=no"))).lower(),
    }


def ask_git(folder: Path, *words: str) -> str:
    """Return the beginning of what git answers within a few seconds; raise CalledProcessError if it fails or hangs."""
    command = ["git", "-C", str(folder), *words]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **QUIET},
        start_new_session=True,  # without a terminal to ask for a password
    ) as process:
        assert process.stdout is not None

        def end() -> None:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()

        timer = threading.Timer(GIT_SECONDS, end)
        timer.daemon = True
        timer.start()
        try:
            answer = process.stdout.read(ANSWER_KEPT)
            if len(answer) == ANSWER_KEPT:
                end()
            elif process.wait() != 0:
                raise subprocess.CalledProcessError(process.returncode, command)
        finally:
            timer.cancel()
    return answer.decode(errors="backslashreplace").strip()
