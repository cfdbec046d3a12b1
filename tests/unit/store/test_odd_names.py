"""Names that no file can have, and places that cannot be read or written, give a message or the stored result."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from command import optitrip
from optitrip.errors import InputError
from optitrip.store.shards import Shard

SWEEP = """
[objective]
loss = "optitrip.objectives:Rosenbrock"
[space]
x = { shape = [2], normal = [0, 1] }
[method]
use = "search"
candidates = 30
[run]
executor = "serial"
[tracking]
use = "none"
"""
LONG = "n" * 10_000
NOBODY = 65_534


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "odd.toml").write_text(SWEEP)
    return tmp_path


@contextmanager
def as_nobody(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Have the file system's permissions count in this process; state of the tests is not judged by its owner."""
    with monkeypatch.context() as patch:
        patch.setattr("optitrip.store.state_dir.distrust", lambda folder: None)
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)


@pytest.mark.parametrize(
    "words",
    [
        ["show", LONG],
        ["show", f"{LONG}.toml"],
        ["show", "odd", "--state-dir", LONG],
        ["replay", LONG, "0"],
        ["replay", "odd.toml", "9" * 5_000],
        ["sweep", LONG],
        ["sweep", "odd.toml", "--state-dir", LONG],
        ["sweep", "odd.toml", "--set", f"name={LONG}"],
        ["sweep", "odd.toml", "--shard", f"1/{'9' * 5_000}"],
        ["sweep", "odd.toml", "--shard", f"{'0' * 5_000}1/2"],
        ["sweep", "odd.toml", "--shard", "\u0661/\u0662"],
        ["sweep", "odd.toml", "--set", "method.use=gradient", "--set", f"method.at={{best_of='{LONG}'}}"],
        ["merge", LONG],
        ["merge", "odd.toml"],
        ["merge", "absent", "--state-dir", LONG],
        ["check", LONG],
    ],
)
def test_impossible_names_and_numbers_are_refused(folder: Path, words: list[str]) -> None:
    """The exit status is that of wrong input, with a message and without a traceback."""
    done = optitrip(folder, *words)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr[-300:]
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_a_shard_of_many_digits_is_not_repeated(folder: Path) -> None:
    """The message is short."""
    with pytest.raises(InputError) as caught:
        Shard.parse("9" * 5_000)
    assert len(str(caught.value)) < 200


root_only = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become another user")


@root_only
@pytest.mark.parametrize("files_too", [False, True])
def test_a_finished_sweep_in_a_read_only_directory_shows_its_result(
    folder: Path, monkeypatch: pytest.MonkeyPatch, files_too: bool
) -> None:
    """`sweep` and `show` give the stored answer and write nothing; more candidates are refused."""
    first = optitrip(folder, "sweep", "odd.toml", "--json")
    (state,) = (folder / ".optitrip").iterdir()
    for parent in (state, *state.parents):  # their owner opens up what is made for the owner alone
        if parent.stat().st_uid == 0 and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    for path in state.iterdir():  # without `files_too` they could be written, but no new ones made
        path.chmod(0o644 if files_too else 0o666)
    before = {path.name: path.read_bytes() for path in state.iterdir()}
    with as_nobody(monkeypatch):
        again = optitrip(folder, "sweep", "odd.toml", "--json")
        shown = optitrip(folder, "show", "odd")
        more = optitrip(folder, "sweep", "odd.toml", "--set", "method.candidates=40")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["best"] == json.loads(first.stdout)["best"]
    assert "finished with 30" in shown.stdout
    assert (more.returncode, "choose another place" in more.stderr) == (2, True), more.stderr
    assert {path.name: path.read_bytes() for path in state.iterdir()} == before


@pytest.mark.mostly_daily
@root_only
@pytest.mark.parametrize("name", ["journal.sqlite", "identity.json", "result.json", "best.npz", "lock", "."])
def test_unreadable_files_give_the_answer_or_a_message(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Mode 000 gives no traceback, for the sweep itself or for a new one beside it."""
    first = optitrip(folder, "sweep", "odd.toml", "--json")
    (state,) = (folder / ".optitrip").iterdir()
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == 0 and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    for path in (folder / ".optitrip", state, *state.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    (state / name).chmod(0)
    with as_nobody(monkeypatch):
        again = optitrip(folder, "sweep", "odd.toml", "--json")
        shown = optitrip(folder, "show", "odd")
        other = optitrip(folder, "sweep", "odd.toml", "--set", "seed=1", "--json")
    assert other.returncode == 0, other.stderr
    for done in (again, shown):
        assert (done.returncode in (0, 2), "Traceback" in done.stderr) == (True, False), done.stderr
    if again.returncode == 0:
        assert json.loads(again.stdout)["best"] == json.loads(first.stdout)["best"]
    else:
        assert name in ("journal.sqlite", "lock", ".")
