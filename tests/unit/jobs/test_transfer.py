"""Result files through the log of a job: whole, checked, and never outside their folder."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from command import optitrip
from optitrip.errors import InputError, Stopped
from optitrip.jobs import transfer
from optitrip.jobs.package import zip_bytes
from optitrip.jobs.transfer import BEGIN, END, main, received, sent
from optitrip.runtime.files import digest

SWEEP = """
[objective]
loss = "optitrip.objectives:Sphere"
[space]
x = { shape = [2], uniform = [0, 1] }
[method]
use = "search"
candidates = 9
[tracking]
use = "none"
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of state directories with one finished sweep."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "bowl.toml").write_text(SWEEP)
    assert optitrip(folder, "sweep", "bowl.toml", "--executor", "serial").returncode == 0
    return folder / ".optitrip"


def test_files_arrive_as_they_are_stored(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever Ray and libraries print before and after them."""
    assert main([str(finished), "bowl"]) == 0
    found = received(f"Running entrypoint for job x: exec ...\nwarning\n{capsys.readouterr().out}bye\n")
    (folder,) = finished.iterdir()
    assert found.label == folder.name
    assert {"result.json", "best.npz", "candidates.parquet", "sweep.toml"} <= found.files.keys()
    assert all((folder / name).read_bytes() == data for name, data in found.files.items())
    assert found.notes == ()


def test_what_is_damaged_or_large_is_left_and_told(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the place where it is."""
    root = shutil.copytree(finished, tmp_path / "copy")
    (folder,) = root.iterdir()
    (folder / "best.npz").write_bytes(b"")
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.suffix != ".sqlite"}
    monkeypatch.setattr(transfer, "LARGEST", sum(sizes.values()) - max(sizes.values()))
    found = received("\n".join(sent(root, "bowl")))
    largest = max(sizes, key=lambda name: sizes[name])
    assert "best.npz" not in found.files
    assert largest not in found.files
    assert any("best.npz is missing" in note for note in found.notes)
    assert any(f"copy {folder / largest}" in note for note in found.notes)


def test_nothing_stored_and_nothing_finished_are_told(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The former is wrong input; the latter may be there when the same command is repeated."""
    with pytest.raises(InputError, match="nothing is stored"):
        sent(finished, "cup")
    assert main([str(tmp_path), "cup"]) == 0
    (tmp_path / "cup-12345678").mkdir()
    (tmp_path / "cup-12345678" / "journal.sqlite").touch()
    with pytest.raises(Stopped, match="no result yet"):
        sent(tmp_path, "cup")
    capsys.readouterr()
    for root, error in ((tmp_path, Stopped), (finished, InputError)):
        assert main([str(root), "cup"]) == 0
        with pytest.raises(error):
            received(capsys.readouterr().out)


def lines(files: Mapping[str, bytes], label: str = "bowl-12345678", **header: object) -> str:
    table = {"label": label, "digests": {name: digest(data) for name, data in files.items()}, "notes": [], **header}
    return "\n".join([BEGIN + json.dumps(table), base64.encodebytes(zip_bytes(files)).decode().strip(), END])


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/b", ".bashrc", "..", "a\\b", "C:x", "a\nb", ""])
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    """Of a file, or of the sweep."""
    with pytest.raises(InputError):
        received(lines({name: b"1"}))
    with pytest.raises(InputError):
        received(lines({"best.npz": b"1"}, label=name))


def test_damage_is_told() -> None:
    """A bit that was turned, a file that is missing, a log that was cut, one that holds something else."""
    good = lines({"best.npz": b"1"})
    assert received(good).files == {"best.npz": b"1"}
    broken = [
        lines({"best.npz": b"1"}, digests={"best.npz": digest(b"2")}),
        lines({}, digests={"best.npz": digest(b"1")}),
        good.replace(good.splitlines()[1][:20], "!" * 20),
        good.removesuffix(END),
        good.replace('"label"', '"labels"'),
        f"{BEGIN}[]\n{END}",
        f"{BEGIN}{{\n{END}",
        "ModuleNotFoundError: No module named 'pydantic'",
        "",
    ]
    for log in broken:
        with pytest.raises((InputError, Stopped), match=r"damaged|failed") as told:
            received(log)
        assert told.type is (Stopped if "damaged" in str(told.value) else InputError)


def test_an_archive_that_would_grow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of zeros is a kilobyte on the way."""
    monkeypatch.setattr(transfer, "LARGEST", 2**19)
    with pytest.raises(InputError, match="larger"):
        received(lines({"best.npz": bytes(2**20)}))
