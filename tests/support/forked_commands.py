"""Run many commands, each in a process of its own that need not import anything again.

This script forks itself for each: it has no threads, as a process of pytest may have.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from subprocess import PIPE

import numpy as np


class Commands:
    """Runs commands one after the other; each is a fork of one process that has imported all they need."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, __file__], stdin=PIPE, stdout=PIPE, text=True)

    def run(self, folder: Path, words: list[str], code: str = "") -> int:
        """Run a command in a folder, where it writes `out` and `err`, after some code; return its exit status."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        requests.write(json.dumps([str(folder), words, code]) + "\n")
        requests.flush()
        return int(answers.readline())

    def close(self) -> None:
        self._process.communicate()


def run_here(folder: str, words: list[str], code: str) -> None:
    """Become a command that was started in a folder."""
    from optitrip.cli.main import main

    os.chdir(folder)
    for number, name in ((1, "out"), (2, "err")):
        opened = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
    sys.path[:] = [path for path in sys.path if path != str(Path(__file__).parent)]
    sys.argv = ["optitrip", *words]
    exec(code, {"os": os, "sys": sys})
    main()


def fork(folder: str, words: list[str], code: str) -> int:
    """Run a command in a child; return its exit status."""
    if (child := os.fork()) == 0:
        status = 1
        try:
            run_here(folder, words, code)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        except BaseException as error:
            os.write(2, repr(error).encode())
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    for name in ("optitrip.cli.run", "optitrip.methods.gradient.spec", "optitrip.methods.search.spec", "scipy.special"):
        import_module(name)
    from optitrip.output.pictures import new_figure, png
    from optitrip.output.tables import parquet_bytes

    parquet_bytes({"loss": np.zeros(1)})
    figure = new_figure(1, 1)
    figure.add_subplot().set_title("fonts")
    png(figure)
    for line in sys.stdin:
        print(fork(*json.loads(line)), flush=True)
