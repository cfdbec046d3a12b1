"""A sweep that lost its state directory goes on from the mirror: the same bits, and nothing evaluated twice."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command import optitrip
from optitrip.journal.journal import Journal
from optitrip.runtime.remote import Folder
from optitrip.store.restore import is_result_name

SWEEP = """
[objective]
loss = "counted:loss"
[space]
x = { normal = [0, 1] }
[method]
use = "search"
candidates = 300
[run]
executor = "serial"
[tracking]
use = "none"
"""
LOSS = """
import os
def loss(x):
    with open(os.path.join(os.path.dirname(__file__), "calls"), "a") as file:
        file.write(".")
    return x * x
"""
BOTH = ("--mirror", "far", "--restore", "far")
FILES = ("best.npz", "candidates.parquet", "losses.png")


def files_in(folder: Path) -> Path:
    (folder / "counted.py").write_text(LOSS)
    (folder / "counted.toml").write_text(SWEEP)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return files_in(tmp_path)


def run(folder: Path, *words: str) -> dict[str, Any]:
    """Run the sweep; return its object, with the number of calls of the loss as `calls`."""
    calls = folder / "calls"
    calls.unlink(missing_ok=True)
    done = optitrip(folder, "sweep", "counted.toml", *words, "--json")
    made = len(calls.read_text()) if calls.exists() else 0
    return {**json.loads(done.stdout or "{}"), "calls": made, "rc": done.returncode, "err": done.stderr}


def state(folder: Path) -> Path:
    (found,) = (path for path in (folder / ".optitrip").iterdir() if ".old" not in path.name)
    return found


def copied(folder: Path) -> Path:
    (found,) = (folder / "far").iterdir()
    return found


@pytest.mark.daily
def test_a_lost_sweep_goes_on_from_its_mirror(folder: Path) -> None:
    """One command works the first time, after a loss, and when more is asked for; answer and files are the same."""
    alone = run(folder, "--state-dir", "alone", "--set", "method.candidates=400")
    first = run(folder, *BOTH)
    assert first["rc"] == 0
    assert [notice["code"] for notice in first["notices"]] == ["mirror"]
    wanted = {name: (state(folder) / name).read_bytes() for name in FILES}
    shutil.rmtree(folder / ".optitrip")
    again = run(folder, *BOTH)
    assert (again["rc"], again["calls"], again["best"]["loss"]) == (0, 0, first["best"]["loss"])
    assert {name: (state(folder) / name).read_bytes() for name in FILES} == wanted
    assert "result-files" not in {notice["code"] for notice in again["notices"]}
    assert {stat.S_IMODE(path.stat().st_mode) for path in state(folder).iterdir()} == {0o600}
    shutil.rmtree(folder / ".optitrip")
    more = run(folder, *BOTH, "--set", "method.candidates=400")
    assert (more["rc"], more["best"]["loss"], more["best"]["index"]) == (
        0,
        *[alone["best"][key] for key in ("loss", "index")],
    )
    assert 100 <= more["calls"] <= 101 + 3  # the spot check
    (there,) = (folder / "alone").iterdir()
    assert (state(folder) / "candidates.parquet").read_bytes() == (there / "candidates.parquet").read_bytes()


@pytest.mark.daily
def test_each_side_gets_what_it_lacks(folder: Path) -> None:
    """The journal here and the copy have different parts: no part of either is evaluated again."""
    run(folder, "--mirror", "far", "--set", "method.candidates=100")
    shutil.rmtree(folder / ".optitrip")
    run(folder, "--set", "method.candidates=50")
    with Journal(state(folder) / "journal.sqlite", state(folder).name[-8:], reading=True)._database as database:
        before = set(database.execute("SELECT lo, hi FROM part"))
    done = run(folder, *BOTH, "--set", "method.candidates=100")
    assert (done["rc"], done["calls"] <= 3) == (0, True), done
    assert "parts that the journal in" in done["err"]
    with Journal(state(folder) / "journal.sqlite", state(folder).name[-8:], reading=True)._database as database:
        assert before < set(database.execute("SELECT lo, hi FROM part"))


def edit(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def foreign(far: Path) -> None:
    """Put the copy of another sweep, which is whole, into the place of this one."""
    other = far.with_name("other")
    (other / "state").mkdir(parents=True)
    Journal(other / "journal.sqlite", "89abcdef").close()
    from optitrip.runtime.files import digest_of

    table = json.loads((far / "mirror.json").read_text())
    table["digest"] = digest_of(other / "journal.sqlite")
    shutil.copy(other / "journal.sqlite", far / table["file"])
    (far / "mirror.json").write_text(json.dumps(table))
    shutil.rmtree(other)


BROKEN: dict[str, Callable[[Path], object]] = {
    "a torn journal": lambda far: [edit(path, lambda data: data[:-100]) for path in far.glob("journal-*")],
    "a flipped bit": lambda far: [edit(path, lambda data: data[:-1] + b"?") for path in far.glob("journal-*")],
    "no journal": lambda far: [path.unlink() for path in far.glob("journal-*")],
    "a torn description": lambda far: edit(far / "mirror.json", lambda data: data[:50]),
    "the description of another": lambda far: edit(
        far / "mirror.json", lambda data: data.replace(b"counted-", b"other-")
    ),
    "a way out": lambda far: edit(far / "mirror.json", lambda data: data.replace(b"journal-", b"../../counted-")),
    "the journal of another": foreign,
}


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = files_in(tmp_path_factory.mktemp("mirrored"))
    run(folder, "--mirror", "far")
    return folder / "far"


@pytest.fixture
def lost(folder: Path, mirrored: Path) -> Path:
    """A folder whose state directory is gone, with the mirror still there."""
    shutil.copytree(mirrored, folder / "far")
    return folder


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_or_foreign_copy_is_refused(lost: Path, how: str) -> None:
    """Exit status 2, nothing evaluated, nothing left here, and the copy stays as it is."""
    BROKEN[how](copied(lost))
    before = {path.name: path.read_bytes() for path in copied(lost).iterdir() if path.is_file()}
    done = run(lost, *BOTH)
    assert (done["rc"], done["calls"]) == (2, 0), done
    assert "nothing is restored" in done["err"]
    assert not list((lost / ".optitrip").glob("*/journal*"))
    assert {path.name: path.read_bytes() for path in copied(lost).iterdir() if path.is_file()} == before


def test_a_copy_that_cannot_be_read_now_stops_the_sweep(lost: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit status 75, which a job controller tries again: to begin anew would evaluate again what is there."""

    def fail(self: Folder, name: str, target: Path) -> None:
        raise OSError("s3://me:hunter22@bucket is away")

    monkeypatch.setattr(Folder, "get", fail)
    done = run(lost, *BOTH)
    assert (done["rc"], done["calls"]) == (75, 0)
    assert "cannot be read" in done["err"]
    assert "hunter22" not in done["err"]
    monkeypatch.undo()
    assert run(lost, *BOTH)["calls"] == 0


@pytest.mark.parametrize("name", ["best.npz", "candidates.parquet", "losses.png"])
def test_a_result_file_that_is_not_as_the_journal_says_is_made_again(lost: Path, name: str) -> None:
    """Missing, or another one."""
    edit(copied(lost) / "files" / name, lambda data: data + b"?")
    done = run(lost, *BOTH)
    assert (done["rc"], done["calls"]) == (0, 0)
    assert [name in notice["text"] for notice in done["notices"] if notice["code"] == "result-files"] == [True]
    assert (state(lost) / name).exists()


OUTSIDE = [
    "../x",
    "/etc/x",
    "a/b",
    "a\\b",
    ".",
    "..",
    "",
    ".hidden",
    "lock",
    "identity.json",
    "sweep.toml",
    "result.json",
]
IN_THE_WAY = ["journal.sqlite", "journal.sqlite-journal", "journal.sqlite-wal", "a\0b", "a\nb", "a" * 101, None, 3]


@pytest.mark.parametrize("name", [*OUTSIDE, *IN_THE_WAY])
def test_no_result_file_gets_out_or_in_the_way(name: Any) -> None:
    """A record in a foreign journal may name anything."""
    assert not is_result_name(name)
    assert is_result_name("best.npz")


def test_planted_copies_are_not_restored(lost: Path) -> None:
    """A mirror that everyone can write to holds what anyone put there; with --trust it is used."""
    copied(lost).chmod(0o777)
    done = run(lost, *BOTH)
    assert (done["rc"], done["calls"], "planted" in done["err"]) == (2, 0, True)
    assert run(lost, *BOTH, "--trust")["calls"] == 0


def test_the_rules_for_changed_code_hold_for_a_copy(lost: Path) -> None:
    """A loss that has changed since is refused, for the copy alone and for both together."""
    (lost / "counted.py").write_text(LOSS.replace("x * x", "x * x + 1"))
    assert run(lost, *BOTH)["rc"] == 2
    shutil.rmtree(lost / ".optitrip")
    run(lost)
    done = run(lost, *BOTH)
    assert (done["rc"], done["calls"]) == (0, 0)  # the result is complete here, so that nothing is restored
    done = run(lost, *BOTH, "--set", "method.candidates=400")
    assert (done["rc"], "different code" in done["err"]) == (2, True), done


def test_each_shard_has_a_copy(folder: Path) -> None:
    """They have one label, and would replace each other."""
    for shard in ("1/2", "2/2"):
        assert run(folder, "--shard", shard, *BOTH)["rc"] == 0
    shutil.rmtree(folder / ".optitrip")
    for shard in ("1/2", "2/2"):
        done = run(folder, "--shard", shard, *BOTH)
        assert (done["rc"], done["calls"] <= 2) == (0, True), done
    roots = [str(path) for path in (folder / ".optitrip").iterdir()]
    assert optitrip(folder, "merge", *roots).returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--mirror", "http://example.org/x"),
        ("--restore", "s3://"),
        ("--mirror", ".optitrip"),
        ("--restore", "far", "--fresh"),
    ],
)
def test_wrong_options_are_refused(folder: Path, words: tuple[str, ...]) -> None:
    done = run(folder, *words)
    assert (done["rc"], done["calls"]) == (2, 0)
    assert words[0] in done["err"]
    assert not (folder / ".optitrip").exists()


@pytest.mark.daily  # PyArrow tries again for seconds
def test_no_password_is_printed_or_stored(folder: Path) -> None:
    """A URI that cannot be reached is named without its secrets, in text, in the object and in all files."""
    uri = "s3://me:hunter22@bucket/x?scheme=http&endpoint_override=127.0.0.1:1"
    done = run(folder, "--mirror", uri)
    assert done["rc"] == 0
    assert "s3://me:***@bucket" in json.dumps(done)
    assert "hunter22" not in json.dumps(done)
    for path in folder.rglob("*"):
        assert path.is_dir() or b"hunter22" not in path.read_bytes(), path


pytestmark = [pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX"), pytest.mark.mostly_daily(3)]
