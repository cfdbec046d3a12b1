"""What optitrip stores is its owner's alone, modes that somebody chose stay, and no name leads out of a folder."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Generator
from pathlib import Path

import pytest

from command import optitrip
from optitrip.errors import InputError
from optitrip.journal.journal import Journal
from optitrip.runtime.files import write_atomically
from optitrip.store.lookup import find_sweep

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
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


@pytest.fixture
def folder(tmp_path: Path) -> Generator[Path]:
    (tmp_path / "mine.toml").write_text(SWEEP)
    before = os.umask(0o022)
    yield tmp_path
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_new_files_are_private(folder: Path) -> None:
    """Folders 0700 and files 0600, whatever the umask; a table that the user asks for is as any other new file."""
    assert optitrip(folder, "sweep", "mine.toml").returncode == 0
    (state,) = (folder / ".optitrip").iterdir()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (state, state.parent)] == [0o700, 0o700]
    assert {"journal.sqlite", "lock", "result.json", "best.npz"} <= modes(state).keys()
    assert set(modes(state).values()) == {0o600}
    assert optitrip(folder, "table", "mine", "-o", "all.csv").returncode == 0
    assert modes(folder)["all.csv"] == 0o644


@pytest.mark.daily
def test_modes_that_somebody_chose_stay(folder: Path) -> None:
    """A team that reads a sweep's files goes on reading them when it is resumed, also after the journal is rebuilt."""
    assert optitrip(folder, "sweep", "mine.toml").returncode == 0
    (state,) = (folder / ".optitrip").iterdir()
    state.chmod(0o755)
    for path in state.iterdir():
        path.chmod(0o644)
    with (state / "journal.sqlite").open("r+b") as journal:
        journal.seek(-3, os.SEEK_END)
        journal.write(b"???")
    # What is damaged depends on the length of paths: parts, or what tells whether the loss has changed since.
    more = ("--set", "method.candidates=40", "--accept-changes")
    assert optitrip(folder, "sweep", "mine.toml", *more).returncode == 0
    found = modes(state)
    assert {mode for name, mode in found.items() if "damaged" not in name} == {0o644}
    assert {mode for name, mode in found.items() if "damaged" in name} <= {0o600}
    assert stat.S_IMODE(state.stat().st_mode) == 0o755


def test_a_journal_is_private_from_its_first_moment(tmp_path: Path) -> None:
    """SQLite's own files beside it get its mode."""
    journal = Journal(tmp_path / "journal.sqlite", "0123abcd")
    with journal._transaction():
        journal._database.execute("INSERT INTO meta VALUES ('key', 'null', 0)")
        assert set(modes(tmp_path).values()) == {0o600}
    journal.close()


def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    """Neither at a file's place nor at that of its unfinished copy; the link is moved aside."""
    (tmp_path / "other").write_text("mine")
    for name in ("file", "file.part"):
        (tmp_path / name).symlink_to(tmp_path / "other")
    write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert modes(tmp_path)["file"] == 0o600
    assert (tmp_path / "other").read_text() == "mine"


@pytest.mark.parametrize("name", ["..", ".", "../other-01234567", "a/../../b", "..-01234567"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    """A journal above the folder of state directories is nobody's sweep."""
    for folder in (tmp_path, tmp_path / "root", tmp_path / "other-01234567"):
        Journal(folder / "journal.sqlite", "01234567").close() if folder.is_dir() else folder.mkdir()
    with pytest.raises(InputError, match="there is no sweep"):
        find_sweep(name, tmp_path / "root")


@pytest.mark.parametrize("name", ["..", "../other", "/tmp/x", "a/b", "a\\b", "a b", "a\n", "-a", "é", "a" * 65, ""])
def test_no_sweep_has_a_name_that_is_a_path(tmp_path: Path, name: str) -> None:
    """Its state directory, its copy in a mirror and its artifacts carry the name."""
    (tmp_path / "named.toml").write_text(f"name = {json.dumps(name)}{SWEEP}")
    with pytest.raises(InputError, match="name"):
        find_sweep(str(tmp_path / "named.toml"), tmp_path / "root")
