"""Programs as children: each ends with all its descendants, whatever becomes of whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from optitrip.runtime.children import Children, Closed, Ended, Unwatched

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="descendants are found in /proc")
SECONDS = 5.0
"""Longest time until nothing is left of a program that was ended."""
HABITS = {
    "hangs": "sleep 1000",
    "forks": "sleep 1000 & sleep 1000",
    "has a session of its own": "setsid sleep 1000 & sleep 1000",
    "is a daemon": "(setsid sh -c 'sleep 1000 & sleep 1000' &) ; sleep 1000",
    "ignores signals": "trap '' TERM INT HUP; sleep 1000 & sleep 1000; sleep 1000",
}


@pytest.fixture
def mark() -> str:
    """A variable of the environment by which the processes of a test are found."""
    return f"OPTITRIP_MARK={uuid.uuid4().hex}"


def marked(mark: str) -> list[int]:
    """The processes that have the mark."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            pass
    return found


def soon(condition: Any) -> bool:
    """Wait until something is true, at most some seconds."""
    until = time.monotonic() + SECONDS
    while not (true := condition()) and time.monotonic() < until:
        time.sleep(0.02)
    return true


@pytest.fixture
def children() -> Iterator[Children]:
    own = Children()
    yield own
    own.close()


def run(children: Children, folder: Path, script: str, mark: str, seconds: float | None = None) -> Ended:
    name, _, value = mark.partition("=")
    output = folder / "out", folder / "err"
    return children.run(["sh", "-c", script], folder, {name: value}, output, seconds)


def test_signals_are_as_usual(children: Children, tmp_path: Path, mark: str) -> None:
    """A program does not ignore what its watcher does."""
    assert run(children, tmp_path, "kill -TERM $$; sleep 5", mark) == Ended(status=-signal.SIGTERM)
    assert run(children, tmp_path, "kill -INT $$; sleep 5", mark) == Ended(status=-signal.SIGINT)


def test_output_status_and_folder(children: Children, tmp_path: Path, mark: str) -> None:
    """They are those of the program; one after the other."""
    assert run(children, tmp_path, "pwd; echo $OPTITRIP_MARK >&2; exit 7", mark) == Ended(status=7)
    assert (tmp_path / "out").read_text() == f"{tmp_path}\n"
    assert (tmp_path / "err").read_text() == mark.partition("=")[2] + "\n"
    assert run(children, tmp_path, "kill -SEGV $$", mark) == Ended(status=-signal.SIGSEGV)
    assert run(children, tmp_path, "true", mark) == Ended(status=0)
    absent = children.run(["/no/such/program"], tmp_path, {}, (tmp_path / "out", tmp_path / "err"))
    assert "FileNotFoundError" in absent.error


@pytest.mark.parametrize("habit", HABITS)
def test_at_its_time_limit(children: Children, tmp_path: Path, mark: str, habit: str) -> None:
    """It is ended, and the next one runs."""
    assert run(children, tmp_path, HABITS[habit], mark, 0.3) == Ended(timed_out=True)
    assert soon(lambda: not marked(mark))
    assert run(children, tmp_path, "echo again", mark) == Ended(status=0)


@pytest.mark.parametrize("habit", ["forks", "has a session of its own", "is a daemon"])
def test_what_a_program_leaves_behind(children: Children, tmp_path: Path, mark: str, habit: str) -> None:
    """It is ended with the program that has started it."""
    script = HABITS[habit].rpartition("sleep 1000")[0] + "exit 3"
    assert run(children, tmp_path, script, mark).status == 3
    assert soon(lambda: not marked(mark))


@pytest.mark.parametrize("habit", HABITS)
def test_closed_by_another_thread(tmp_path: Path, mark: str, habit: str) -> None:
    """Nothing is left, neither the program nor who watches it."""
    children, found = Children(), list[Any]()

    def wait() -> None:
        with pytest.raises(Closed) as raised:
            run(children, tmp_path, HABITS[habit], mark)
        found.append(raised.value)

    thread = threading.Thread(target=wait)
    thread.start()
    assert soon(lambda: marked(mark))
    children.close()
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert soon(lambda: not marked(mark))
    assert len(found) == 1


SCRIPT = """
import sys
from pathlib import Path
from optitrip.runtime.children import Children
folder, script, name, value = Path(sys.argv[1]), *sys.argv[2:]
Children().run(["sh", "-c", script], folder, {name: value}, (folder / "out", folder / "err"))
"""


@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_whoever_started_it_is_killed(tmp_path: Path, mark: str, habit: str, number: int) -> None:
    """All of the program goes with that process, and its folder too."""
    own = tmp_path / "own"
    own.mkdir()
    command = [sys.executable, "-c", SCRIPT, str(own), HABITS[habit], *mark.split("=")]
    parent = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        assert soon(lambda: marked(mark))
        os.kill(parent.pid, number)
        parent.wait(SECONDS)
        assert soon(lambda: not marked(mark))
        assert soon(lambda: not own.exists())
    finally:
        parent.kill()
        parent.wait()


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("generations", [1, 2])
@pytest.mark.parametrize("habit", ["hangs", "is a daemon"])
def test_one_whose_watcher_was_killed(
    children: Children, tmp_path: Path, mark: str, habit: str, generations: int
) -> None:
    """Whichever of the two it is, nothing is left of the program, and the next one has another watcher."""
    found = list[Any]()

    def wait() -> None:
        with pytest.raises(Unwatched, match="was killed") as raised:
            run(children, tmp_path, f"echo $$; {HABITS[habit]}", mark)
        found.append(raised.value)

    thread = threading.Thread(target=wait)
    thread.start()
    out = tmp_path / "out"
    assert soon(lambda: out.exists() and out.read_text().strip() and len(marked(mark)) > (habit != "hangs"))
    watcher = int(out.read_text())
    for _ in range(generations):
        watcher = parent(watcher)
    os.kill(watcher, signal.SIGKILL)
    thread.join(SECONDS)
    assert len(found) == 1
    assert soon(lambda: not marked(mark))
    tmp_path.mkdir(exist_ok=True)
    assert run(children, tmp_path, "true", mark) == Ended(status=0)


def test_folders_of_which_it_was_told(tmp_path: Path) -> None:
    """The last one goes with this process, whether a program has run in it or not, and whatever it has protected."""
    children, own = Children(), tmp_path / "own"
    for script in ("", "mkdir -p a/b; touch a/b/c; ln -s .. a/b/d; chmod 500 a/b; chmod 0 a"):
        own.mkdir()
        children.keep_track(own)
        if script:
            assert children.run(["sh", "-c", script], own, {}, (tmp_path / "out", tmp_path / "err")) == Ended(status=0)
        children._end()  # as `close` does, after which nothing runs
        assert not own.exists()
