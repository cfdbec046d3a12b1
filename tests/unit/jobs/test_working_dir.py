"""The working directory of a job: laid out as here, with all that the sweep needs, and the same identity."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from optitrip.errors import InputError
from optitrip.jobs.package import own_files, package_name, zip_bytes
from optitrip.jobs.working_dir import WorkingDir, working_dir
from optitrip.store.lookup import read, read_any_draft

SWEEP = (
    '[objective]\nloss = "loss:f"\n{}\n[space]\nx = {{ uniform = [0, 1] }}\n[method]\nuse = "search"\ncandidates = 9\n'
)
LOSS = "import helper\ndef f(x): return x\n"


def fill(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def packed(file: Path, *overrides: str) -> WorkingDir:
    return working_dir(read_any_draft(file, overrides))


def test_the_sweep_beside_its_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder where the command is run: the file, the modules, and the files that it names; nothing else."""
    text = SWEEP.format('files = ["data/*.csv"]')
    names = {"bowl.toml": text, "loss.py": LOSS, "helper.py": "", "other.py": "", "data/a.csv": "", ".env": ""}
    monkeypatch.chdir(fill(tmp_path, names))
    found = packed(Path("bowl.toml"))
    assert sorted(found.files) == ["bowl.toml", "data/a.csv", "helper.py", "loss.py"]
    assert (found.file, found.notes) == ("bowl.toml", ())
    assert found.files["bowl.toml"] == text.encode()


def test_the_modules_of_a_gradient_and_of_rules_travel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the file names as module:name, with what that imports; also in the legs of a trip."""
    head = '[objective]\nloss = "loss:f"\ngradient = "slopes:g"\n[space]\nx = { uniform = [0, 1] }\n'
    leg = '[[leg]]\nname = "{}"\nuse = "descent"\nrate = 1.0\nsteps = 2\nrule = {}\nat = {{ fill = 0.5 }}\n'
    trip = head + leg.format("a", '"mine:ball"') + leg.format("b", '"adam"')
    modules = {"loss.py": "", "slopes.py": "", "mine.py": "import helper", "helper.py": "", "other.py": ""}
    monkeypatch.chdir(fill(tmp_path, {"trip.toml": trip, **modules}))
    wanted = ["helper.py", "loss.py", "mine.py", "slopes.py", "trip.toml"]
    assert sorted(packed(Path("trip.toml")).files) == wanted


def test_the_layout_is_as_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep file in a folder of the project: its modules may be beside it or in the project's root."""
    text = SWEEP.format('arguments = {}\nfiles = ["*.csv"]')
    names = {"sweeps/bowl.toml": text, "sweeps/helper.py": "import late", "sweeps/a.csv": "", "loss.py": LOSS}
    monkeypatch.chdir(fill(tmp_path, {**names, "late.py": "", "b.csv": ""}))
    found = packed(Path("sweeps/bowl.toml"))
    assert sorted(found.files) == ["late.py", "loss.py", "sweeps/a.csv", "sweeps/bowl.toml", "sweeps/helper.py"]
    assert found.file == "sweeps/bowl.toml"


def test_a_sweep_elsewhere_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its modules and those of the working directory stay apart."""
    fill(tmp_path, {"there/bowl.toml": SWEEP.format(""), "there/loss.py": LOSS, "here/helper.py": "x = 1"})
    monkeypatch.chdir(tmp_path / "here")
    found = packed(Path("../there/bowl.toml"))
    assert sorted(found.files) == ["helper.py", "sweep/bowl.toml", "sweep/loss.py"]


@pytest.mark.skipif(os.name == "nt", reason="needs bytes in names")
@pytest.mark.parametrize("name", [b"\xff", b"a\\b"])
def test_a_folder_with_an_odd_name_has_another_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: bytes
) -> None:
    """One that is no text, or that Ray would not unpack."""
    odd = os.fsdecode(name)
    fill(tmp_path, {f"{odd}/bowl.toml": SWEEP.format(""), f"{odd}/loss.py": LOSS})
    monkeypatch.chdir(tmp_path)
    assert sorted(packed(Path(odd, "bowl.toml")).files) == ["sweep/bowl.toml", "sweep/loss.py"]


@pytest.mark.parametrize("overrides", [(), ("seed=7",), ("name=other", "method.candidates=3")])
def test_the_identity_is_that_of_the_local_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...]
) -> None:
    """Of the files that the job gets, with the same overrides, wherever they are unpacked."""
    monkeypatch.chdir(fill(tmp_path / "here", {"bowl.toml": SWEEP.format(""), "loss.py": LOSS, "helper.py": ""}))
    found = packed(Path("bowl.toml"), *overrides)
    there = fill(tmp_path / "there", {name: data.decode() for name, data in found.files.items()})
    assert read(there / found.file, overrides).label == read(Path("bowl.toml"), overrides).label


def test_the_point_where_a_gradient_starts_travels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that `at` names, without being named in files; one at an absolute path is where all nodes see it."""
    text = '[objective]\nloss = "loss:f"\n[space]\nx = {{ uniform = [0, 1] }}\n'
    text += '[method]\nuse = "gradient"\nat = {{ file = "{}" }}'
    names = {"g.toml": text.format("w[1].npz"), "h.toml": text.format("/mnt/w.npz"), "loss.py": "", "w[1].npz": ""}
    monkeypatch.chdir(fill(tmp_path, {**names, "i.toml": text.format("../w.npz"), "w1.npz": ""}))
    assert sorted(packed(Path("g.toml")).files) == ["g.toml", "loss.py", "w[1].npz"]
    assert sorted(packed(Path("h.toml")).files) == ["h.toml", "loss.py"]
    with pytest.raises(InputError, match=r"i\.toml:7: method\.at\.file: .*below"):
        packed(Path("i.toml"))


def test_the_points_of_a_table_travel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the file of a start point does, and the job has the same sweep."""
    text = 'objective.loss = "loss:f"\nspace.x = { uniform = [0, 1] }\n[method]\nuse = "search"\npoints = "a.csv"\n'
    monkeypatch.chdir(fill(tmp_path / "here", {"g.toml": text, "loss.py": "", "a.csv": "x\n0.5\n0.25\n"}))
    found = packed(Path("g.toml"))
    assert sorted(found.files) == ["a.csv", "g.toml", "loss.py"]
    there = fill(tmp_path / "there", {name: data.decode() for name, data in found.files.items()})
    assert read(there / found.file).label == read(Path("g.toml")).label


def test_mistakes_in_files_are_located(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fill(tmp_path, {"bowl.toml": SWEEP.format('files = ["../x"]'), "loss.py": ""}))
    with pytest.raises(InputError, match=r"bowl\.toml:3: objective\.files: was '\.\./x'"):
        packed(Path("bowl.toml"))


def test_what_seems_needed_and_is_not_sent_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path among the arguments that is here, and a module on the path of this machine alone."""
    fill(tmp_path, {"lib/loss.py": LOSS, "here/data/x.npz": ""})
    monkeypatch.chdir(
        fill(tmp_path / "here", {"bowl.toml": SWEEP.format('arguments = { data = "data/x.npz", k = 3 }')})
    )
    monkeypatch.syspath_prepend(tmp_path / "lib")
    about_data, about_module = packed(Path("bowl.toml")).notes
    assert "objective.arguments.data" in about_data
    assert str(tmp_path / "lib" / "loss.py") in about_module
    assert len(packed(Path("bowl.toml"), 'objective.files=["data/*"]').notes) == 1


def test_packages_are_the_same_bytes_for_the_same_files() -> None:
    """Whatever the order; so they are sent once."""
    one, other = {"a": b"1", "b": b"2"}, {"b": b"2", "a": b"1"}
    assert zip_bytes(one) == zip_bytes(other)
    assert package_name({"a": b"1"}) != package_name({"a": b"2"})


def test_optitrip_travels_whole() -> None:
    """All that a wheel has, with the list of its libraries, and nothing that is compiled."""
    found = own_files()
    assert {"optitrip/__init__.py", "optitrip/samplers/STREAM.md", "optitrip/jobs/transfer.py"} <= found.keys()
    assert not [name for name in found if "__pycache__" in name]
    assert any(name.endswith(".dist-info/METADATA") for name in found)
