"""No corruption of a state directory gives a wrong answer or a traceback, and nothing is deleted."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from command import optitrip
from corruptions import CORRUPTIONS

SWEEP = """
seed = 3
[objective]
loss = "grid_loss:loss"
[space]
x = { normal = [0, 1] }
[method]
use = "search"
candidates = 40
[run]
executor = "serial"
[tracking]
use = "none"
"""
COMMANDS = ("sweep", "show", "replay", "merge")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes, links and modes are those of POSIX")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished sweep, and the same sweep in two shards."""
    place = tmp_path_factory.mktemp("finished")
    (place / "grid_loss.py").write_text("def loss(x):\n    return (x - 1) ** 2\n")
    (place / "g.toml").write_text(SWEEP)
    for words in ([], ["--shard", "1/2"], ["--shard", "2/2"]):
        assert optitrip(place, "sweep", "g.toml", *words).returncode == 0
    return place


def state_of(folder: Path) -> Path:
    (state,) = folder.glob("g-????????")
    return state


def hashes(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield name and hash of each small file; commands rewrite no others."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 2**30:
            yield path.name, hashlib.blake2b(path.read_bytes()).hexdigest()


def words_of(command: str, label: str) -> list[str]:
    return {
        "sweep": ["sweep", "g.toml", "--json"],
        "show": ["show", label],
        "replay": ["replay", label, "3"],
        "merge": ["merge", ".optitrip/shard-1-of-2", ".optitrip/shard-2-of-2", "--state-dir", "merged", "--json"],
    }[command]


def check(command: str, done: CompletedProcess[str], finished: Path, folder: Path) -> None:
    """Compare an answer with that of the undamaged sweep; without an answer there must be a message."""
    right = json.loads((state_of(finished / ".optitrip") / "result.json").read_text())
    assert "Traceback" not in done.stderr
    assert "12345" not in done.stdout
    if done.returncode != 0:
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert 20 < len(done.stderr) < 2_000
    elif command in ("sweep", "merge"):
        best = json.loads(done.stdout)["best"]
        assert (best["loss"], best["index"]) == (right["best"]["loss"], right["best"]["index"])
        for name in ("best.npz", "candidates.parquet"):
            made = state_of(folder / (".optitrip" if command == "sweep" else "merged")) / name
            assert made.read_bytes() == (state_of(finished / ".optitrip") / name).read_bytes()
    elif command == "show":
        assert f"{right['best']['loss']:.6g}"[:6] in done.stdout or "not finished" in done.stdout
    else:
        x = float(next(line for line in done.stdout.splitlines() if " x = " in line).partition("=")[2])
        assert float(done.stdout.splitlines()[-1]) == (x - 1) ** 2


def grid(finished: Path, folder: Path, name: str) -> None:
    """Corrupt a copy of the state for each command, and follow the advice if there is no answer."""
    for command in COMMANDS:
        place = folder / command
        shutil.copytree(finished, place, copy_function=shutil.copy)
        stored = place / ".optitrip" / ("shard-1-of-2" if command == "merge" else "")
        label = state_of(stored).name
        before = set(hashes(place))
        CORRUPTIONS[name](state_of(stored))
        touched = {content for file, content in set(hashes(place)) - before if not file.endswith((".part", ".mended"))}
        done = optitrip(place, *words_of(command, label))
        check(command, done, finished, place)
        after = {content for _, content in hashes(place)}
        if command == "sweep" and done.returncode == 2:
            assert "--fresh" in done.stderr
            again = optitrip(place, *words_of(command, label), "--fresh")
            assert again.returncode == 0, again.stderr
            check(command, again, finished, place)
            after = {content for _, content in hashes(place)}
        elif command == "sweep":
            again = optitrip(place, *words_of(command, label))
            assert (again.returncode, json.loads(again.stdout)["evaluated"]) == (0, 0), again.stderr
        # A journal is written to, and SQLite removes a rollback journal that is none.
        assert touched <= after or "journal: " in name, "something was deleted"
        shutil.rmtree(place)


SOME = [
    "result.json: a list",
    "result.json: a folder",
    "identity.json: null",
    "identity.json: a pipe",
    "sweep.toml: foreign",
    "best.npz: foreign",
    "candidates.parquet: missing",
    "journal: a trigger",
    "journal: without its last tenth",
    "journal: a link to a device",
    "journal: missing",
    "lock: a link",
]


@pytest.mark.mostly_daily(12)
@pytest.mark.parametrize("name", SOME)
def test_some_corruptions(finished: Path, tmp_path: Path, name: str) -> None:
    """The right answer, or a message with advice that helps; what was there is still there."""
    grid(finished, tmp_path, name)


@pytest.mark.daily
@pytest.mark.mostly_thorough(5)
@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name not in SOME])
def test_all_corruptions(finished: Path, tmp_path: Path, name: str) -> None:
    """The same for all other kinds."""
    grid(finished, tmp_path, name)


def test_there_are_a_hundred_kinds() -> None:
    """The table is as long as was promised."""
    assert len(CORRUPTIONS) >= 100
