"""What travels with a sweep: its modules and the files it names, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from optitrip.errors import InputError
from optitrip.runtime import travelling
from optitrip.store import bundle
from optitrip.store.bundle import collect


def fill(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


LOSS = "import helper\n\ndef loss(x):\n    from late import f\n    return f(x) + helper.y\n"


def test_modules_that_are_imported_travel_wherever_the_import_stands(tmp_path: Path) -> None:
    """Those beside the loss that it imports, directly or not, also inside functions; others stay."""
    fill(
        tmp_path,
        {
            "loss.py": LOSS,
            "helper.py": "import importlib\nimportlib.import_module('by_name.sub')\ny = 1\n",
            "late.py": "import numpy, json\n",
            "by_name/sub.py": "",
            "by_name/notes.txt": "not a module of a package without __init__",
            "other.py": "",
            "data.npz": "",
        },
    )
    assert list(collect(tmp_path, ["loss"]).files) == ["by_name/sub.py", "helper.py", "late.py", "loss.py"]


def test_a_package_travels_whole_but_for_caches_and_secrets(tmp_path: Path) -> None:
    """With its data, but without what is hidden, compiled, or has the name of a secret."""
    names = ["__init__.py", "a.py", "table.json", "sub/deep.py", ".env", "server.pem", "__pycache__/a.pyc", "id_rsa"]
    fill(tmp_path, {f"pkg/{name}": name for name in names})
    wanted = ["pkg/__init__.py", "pkg/a.py", "pkg/sub/deep.py", "pkg/table.json"]
    assert list(collect(tmp_path, ["pkg.a"]).files) == wanted


def test_installed_modules_and_optitrip_stay(tmp_path: Path) -> None:
    """A file named like a library is not what the loss imports; optitrip has a way of its own."""
    fill(tmp_path, {"loss.py": "import random, numpy, optitrip", "random.py": "", "numpy.py": "", "optitrip.py": ""})
    assert list(collect(tmp_path, ["loss"]).files) == ["loss.py"]


def test_named_files_travel_by_pattern(tmp_path: Path) -> None:
    """Files and whole folders, each once, sorted, with what was left out named."""
    names = ["data/b.npz", "data/a.npz", "data/deep/c.csv", "data/.env", "more/x.txt", "more/auth_token", "sweep.toml"]
    fill(tmp_path, {name: name for name in names})
    found = collect(tmp_path, [], ["data", "data/*.npz", "more/*"])
    assert list(found.files) == ["data/a.npz", "data/b.npz", "data/deep/c.csv", "more/x.txt"]
    assert found.left_out == ("more/auth_token",)


@pytest.mark.parametrize("pattern", ["/etc/hosts", "../x", "a/../../x", "", "nothing*", "C:/x", "..\\x", "\\x"])
def test_a_pattern_stays_in_the_folder_and_matches(tmp_path: Path, pattern: str) -> None:
    """A pattern that leads out, or matches nothing, is an error with the key of the sweep file."""
    fill(tmp_path, {"a/b.txt": ""})
    with pytest.raises(InputError) as raised:
        collect(tmp_path, [], [pattern])
    assert raised.value.key == ("objective", "files")


@pytest.mark.parametrize("name", [".env", ".git/config", "venv/lib/x.py", "env/lib/x.py", "state/a-1/journal.sqlite"])
def test_what_must_not_travel_does_not_even_if_it_is_named(tmp_path: Path, name: str) -> None:
    """Secrets, version control, environments and state directories."""
    fill(tmp_path, {name: "", "env/pyvenv.cfg": "", "state/a-1/lock": "", "state/a-1/losses.parquet": ""})
    fill(tmp_path, {"kept.txt": ""})
    with pytest.raises(InputError, match="matches no file"):
        collect(tmp_path, [], [name])
    assert name not in collect(tmp_path, [], ["**/*"]).files
    assert "kept.txt" in collect(tmp_path, [], ["**/*"]).files


@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")
@pytest.mark.parametrize("link", ["loss.py", "pkg/inner", "data.bin"])
def test_no_link_leads_out_of_the_folder(tmp_path: Path, link: str) -> None:
    """A module, a folder in a package, or a named file that is a link to elsewhere is refused by name."""
    folder = fill(tmp_path / "sweep", {"pkg/__init__.py": ""})
    (tmp_path / "outside").mkdir()
    (folder / link).symlink_to(tmp_path / "outside")
    if link == "loss.py":
        (folder / link).unlink()
        (folder / link).symlink_to(fill(tmp_path, {"outside/real.py": ""}) / "outside/real.py")
    with pytest.raises(InputError, match="outside"):
        collect(folder, ["loss", "pkg"], ["data.bin"] if link == "data.bin" else [])


@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")
def test_links_inside_the_folder_are_followed_once(tmp_path: Path) -> None:
    """A folder that holds a link to itself ends; a link to a hidden file stays hidden; a link to nothing is told."""
    fill(tmp_path, {"pkg/__init__.py": "", "pkg/a.py": "", ".env": "x"})
    (tmp_path / "pkg/again").symlink_to(tmp_path / "pkg")
    (tmp_path / "pkg/plain.txt").symlink_to(tmp_path / ".env")
    assert list(collect(tmp_path, ["pkg"]).files) == ["pkg/__init__.py", "pkg/a.py"]
    (tmp_path / "pkg/broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / "pkg/loop").symlink_to(tmp_path / "pkg/loop")
    with pytest.raises(InputError, match=r"broken|loop"):
        collect(tmp_path, ["pkg"])


@pytest.mark.skipif(os.name == "nt", reason="needs pipes and bytes in names")
def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A pipe, which would never end, and names that are no text, or that Ray leaves out when it unpacks."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe"):
        collect(tmp_path, [], ["pipe"])
    for name in (b"bad\xff.txt", b"bad\\b.txt", b"C:bad.txt"):
        (tmp_path / os.fsdecode(name)).write_text("")
        with pytest.raises(InputError, match="rename"):
            collect(tmp_path, [], ["*bad*"])
        (tmp_path / os.fsdecode(name)).unlink()


def test_the_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    """The same wherever and whenever the files were written; another with a byte moved from a name to a content."""
    one = collect(fill(tmp_path / "one", {"a.txt": "1", "b.txt": "2"}), [], ["*.txt"])
    other = collect(fill(tmp_path / "other", {"b.txt": "2", "a.txt": "1"}), [], ["*.txt"])
    assert one.digest == other.digest
    assert len({one.digest, bundle.Bundle({"a": b"bc"}).digest, bundle.Bundle({"ab": b"c"}).digest}) == 3


def test_a_bundle_that_is_too_large_names_the_largest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything of it is read."""
    monkeypatch.setattr(travelling, "LARGEST", 2**20)
    fill(tmp_path, {"small.txt": "x"})
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(3 * 2**20)
    with pytest.raises(InputError, match=r"3 MiB, more than 1: large.bin \(3 MiB\), small.txt"):
        collect(tmp_path, [], ["*"])
