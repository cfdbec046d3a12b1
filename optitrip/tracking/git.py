"""Asks git about the folder of a sweep file, whatever git is or does: it may hang, or print without end."""

import os
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from optitrip.runtime.posix import end_group

ANSWER_KEPT = 10_000
"""Bytes read of an answer."""
GIT_SECONDS = 5.0
QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_ASKPASS": "", "SSH_ASKPASS": ""}


@dataclass(frozen=True)
class Checkout:
    """The commit of a repository in which a sweep was run."""

    commit: str
    branch: str
    dirty: bool
    """True if files that git knows were changed."""
    root: Path
    """Folder of the repository."""
    tracked: bool
    """True if git knows the sweep file."""

    @property
    def tags(self) -> dict[str, str]:
        """Tags by which MLflow shows it."""
        tags = {"commit": self.commit, "branch": self.branch, "dirty": str(self.dirty).lower()}
        return {f"mlflow.source.git.{name}": value for name, value in tags.items()}


def checkout_of(file: Path) -> Checkout:
    """Return the checkout that contains a file; raise an exception if git does not tell: any, since a locale may be
    unable to spell the path."""
    folder = file.parent
    commit = ask_git(folder, "rev-parse", "HEAD")
    try:
        tracked = bool(ask_git(folder, "--literal-pathspecs", "ls-files", "--error-unmatch", "--", file.name))
    except subprocess.CalledProcessError:
        tracked = False
    return Checkout(
        commit,
        ask_git(folder, "rev-parse", "--abbrev-ref", "HEAD"),
        bool(ask_git(folder, "status", "--porcelain", "--untracked-files=no")),
        (folder / ask_git(folder, "rev-parse", "--show-cdup")).resolve(),
        tracked,
    )


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
            end_group(process.pid)

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
