"""Tests of the user's files on their way to other hosts, and of the proof that a worker loaded what the driver has."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from optitrip.errors import InputError
from optitrip.executors.ray import shipment as module
from optitrip.executors.ray.shipment import Proof, Shipment, libraries_used, prove, shipment, unpack, version_of
from optitrip.runtime import travelling

NAMES = ("shipped_loss", "shipped_later", "shipped_package", "shipped_package.inner")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Import a loss from a folder, as a driver would; this process then forgets it."""
    folder = tmp_path / "project"
    (folder / "shipped_package").mkdir(parents=True)
    (folder / "shipped_loss.py").write_text("import scipy\nfrom shipped_package.inner import SCALE\nX = 1\n")
    (folder / "shipped_later.py").write_text("LATER = 2\n")
    (folder / "shipped_package" / "__init__.py").write_text("")
    (folder / "shipped_package" / "inner.py").write_text("SCALE = 3\n")
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.setattr(module, "session_folder", lambda: str(tmp_path / "session"))
    import_module("shipped_loss")
    yield folder
    forget()


def forget() -> None:
    for name in NAMES:
        sys.modules.pop(name, None)


def test_modules_travel_with_those_beside_them(project: Path) -> None:
    """One that is imported only when the loss is called travels too."""
    files = shipment([str(project)], {"data/points.csv": b"1,2"}).files
    assert files["shipped_loss.py"] == (project / "shipped_loss.py").read_bytes()
    assert {"shipped_later.py", "shipped_package/inner.py", "shipped_package/__init__.py", "data/points.csv"} <= {
        *files
    }


def test_neither_secrets_nor_links_out_of_the_folder_travel(project: Path, tmp_path: Path) -> None:
    """As for a job: a hidden module, and a link to one elsewhere, to a hidden one, or to nothing; a link within the
    folder travels."""
    (tmp_path / "elsewhere.py").write_text("TOKEN = 1\n")
    (project / ".hidden.py").write_text("TOKEN = 1\n")
    targets = {"out": "../elsewhere.py", "hidden": ".hidden.py", "nothing": "absent.py", "within": "shipped_later.py"}
    for name, target in targets.items():
        (project / f"{name}.py").symlink_to(target)
    files = shipment([str(project)], {}).files
    assert {"out.py", "hidden.py", "nothing.py", ".hidden.py", "within.py"} & {*files} == {"within.py"}


def test_a_worker_imports_what_was_sent_and_not_its_own_copy(project: Path) -> None:
    """An older copy at the same path would give other numbers."""
    sent, proof = shipment([str(project)], {}), prove([])
    forget()
    (project / "shipped_loss.py").write_text("X = 'older'\n")
    here = Path.cwd()
    unpack(sent)
    assert import_module("shipped_loss").X == 1
    assert import_module("shipped_later").LATER == 2
    assert str(project) not in sys.path
    assert Path.cwd() == here
    assert proof.differences(prove([])) == []


def test_a_copy_that_was_changed_on_its_host_is_not_used(project: Path, tmp_path: Path) -> None:
    """The folder is named by its content, and still read before it is used."""
    sent = shipment([str(project)], {})
    unpack(sent)
    (tmp_path / "session" / "optitrip" / sent.digest / "shipped_later.py").write_text("LATER = 'damaged'\n")
    forget()
    unpack(sent)
    assert import_module("shipped_later").LATER == 2


def test_data_files_are_found_by_relative_path(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker changes into the folder with them."""
    monkeypatch.chdir(project)
    unpack(shipment([str(project)], {"data/points.csv": b"1,2"}))
    assert Path("data/points.csv").read_text() == "1,2"
    os.chdir(project)


def test_the_digest_is_that_of_names_and_contents() -> None:
    """Two shipments are the same only if every file is."""
    digests = [Shipment(files).digest for files in ({"a": b"bc"}, {"ab": b"c"}, {"a": b"b", "c": b""}, {"a": b"bc"})]
    assert len(set(digests)) == 3
    assert digests[0] == digests[3]


def test_files_too_large_to_send_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest is named."""
    monkeypatch.setattr(module, "module_files", dict)
    monkeypatch.setattr(travelling, "LARGEST", 1000)
    with pytest.raises(InputError, match=r"big\.bin"):
        shipment([], {"big.bin": b"0" * 1001})


@pytest.mark.daily
def test_a_proof_names_what_differs(project: Path) -> None:
    """Modules by their code, libraries by their version, optitrip by its own code."""
    here = prove(libraries_used())
    assert here.libraries["scipy"] == version_of("scipy") != "absent"
    there = Proof({**here.modules, "shipped_loss": "0"}, {**here.libraries, "scipy": "1.0"}, "another")
    code, library, own = here.differences(there)
    assert code == f"module shipped_loss has other code there ({project / 'shipped_loss.py'} here)"
    assert library == f"scipy is 1.0 there and {here.libraries['scipy']} here"
    assert own == "optitrip has other code there, though its version is the same"
    assert here.differences(Proof({}, {}, here.code)) == []  # what only one has imported does not count


def test_workers_stay_in_their_folder_if_only_modules_are_sent(project: Path) -> None:
    """On a shared disk, a loss finds by relative path what it finds on the driver."""
    assert not shipment([str(project)], {"helper.py": b""}).has_data
    assert shipment([str(project)], {"helper.py": b"", "points.csv": b""}).has_data
