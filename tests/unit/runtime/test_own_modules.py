"""Which modules are the user's own, and that a change of one is noticed wherever it lies."""

from __future__ import annotations

import importlib
import os
import site
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import optitrip
from optitrip.runtime.imports import in_folders, installed_folders, is_installed, own_modules, python_paths, source_hash
from optitrip.store.provenance import module_hashes


@pytest.fixture(autouse=True)
def undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules of a test are forgotten after it."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("mine"):
            del sys.modules[name]
    importlib.invalidate_caches()
    is_installed.cache_clear()
    installed_folders.cache_clear()


def own(*folders: Path) -> dict[str, str]:
    """Import the module `mine` with these folders first on the path; return the own modules of this test."""
    sys.path[:0] = [str(folder) for folder in folders]
    importlib.invalidate_caches()
    importlib.import_module("mine")
    return {name: str(module.__file__) for name, module in own_modules() if name.startswith("mine")}


def test_the_script_is_no_module_of_the_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in a process that multiprocessing has started either: another `optitrip` command resumes a sweep."""
    script = ModuleType("__mp_main__")
    script.__file__ = str(tmp_path / "optitrip")
    (tmp_path / "optitrip").touch()
    monkeypatch.setitem(sys.modules, "__mp_main__", script)
    monkeypatch.setitem(sys.modules, "__main__", script)
    assert script not in [module for _, module in own_modules()]


def test_a_project_below_the_prefix_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The virtual environment was made in the project's folder; its packages are installed, the project is not."""
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path), "platbase": str(tmp_path)}))
    for prefix in ("prefix", "base_prefix", "exec_prefix", "base_exec_prefix"):
        monkeypatch.setattr(sys, prefix, str(tmp_path))
    installed_folders.cache_clear()
    is_installed.cache_clear()
    (tmp_path / "mine.py").write_text("import mine_too\n")
    packages.mkdir(parents=True)
    (packages / "mine_too.py").touch()
    assert own(tmp_path, packages) == {"mine": str(tmp_path / "mine.py")}
    assert str(tmp_path) in python_paths()
    assert str(packages) not in python_paths()


def test_a_folder_is_not_in_another_whose_name_begins_alike() -> None:
    """As strings /home/me/proj2 begins with /home/me/proj."""
    assert in_folders("/home/me/proj/a", ["/home/me/proj"])
    assert in_folders("/home/me/proj", ["/home/me/proj"])
    assert not in_folders("/home/me/proj2/a", ["/home/me/proj"])


def test_packages_and_the_standard_library_are_installed() -> None:
    """NumPy, json, the user's and Debian's packages, and those of another environment; optitrip has its version."""
    for module in (np, os, pytest, optitrip, importlib):
        assert is_installed(os.path.dirname(str(module.__file__)))
    assert is_installed(site.getusersitepackages())
    assert is_installed("/usr/lib/python3/dist-packages/yaml")
    assert is_installed("/home/me/other/.venv/lib/python3.12/site-packages")
    assert not is_installed("/usr/src/app")


def test_the_folder_in_which_a_job_gets_optitrip_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes before an optitrip of the image on workers; a clone of the project is no such folder."""
    clone = Path(optitrip.__file__).parents[1]
    assert not is_installed(str(clone))
    place = "/tmp/ray/session_latest/runtime_resources/py_modules_files/_ray_pkg_1"
    monkeypatch.setattr(optitrip, "__file__", f"{place}/optitrip/__init__.py")
    is_installed.cache_clear()
    assert is_installed(place)
    assert is_installed(f"{place}/optitrip/core")
    assert not is_installed("/tmp/ray/session_latest/runtime_resources/py_modules_files/_ray_pkg_2")


def test_an_editable_install_is_the_users_own(tmp_path: Path) -> None:
    """A .pth file names a folder in another project, or packages hold a link to it."""
    source, packages = tmp_path / "other" / "src", tmp_path / "lib" / "site-packages"
    for folder in (source / "mine_linked", packages):
        folder.mkdir(parents=True)
    (source / "mine.py").write_text("import mine_linked\n")
    (source / "mine_linked" / "__init__.py").touch()
    (packages / "mine_linked").symlink_to(source / "mine_linked")
    (packages / "editable.pth").write_text(f"{source}\n")
    sys.path.insert(0, str(packages))
    site.addsitedir(str(packages))
    assert str(source) in python_paths()
    assert set(own()) == {"mine", "mine_linked"}
    assert set(module_hashes()) >= {"mine", "mine_linked"}


def test_a_namespace_package_and_a_linked_project(tmp_path: Path) -> None:
    """A package without __init__.py has no file, its modules have; a link leads to the same project."""
    project = tmp_path / "project"
    (project / "mine_space").mkdir(parents=True)
    (project / "mine_space" / "mine_part.py").touch()
    (project / "mine.py").write_text("import mine_space.mine_part\n")
    (tmp_path / "link").symlink_to(project)
    assert set(own(tmp_path / "link")) == {"mine", "mine_space.mine_part"}


def test_a_module_in_a_zip_archive(tmp_path: Path) -> None:
    """Its source is hashed, a change noticed, and workers are told where it lies."""
    archive = tmp_path / "mine.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("mine.py", "A = 1\n")
    assert set(own(archive)) == {"mine"}
    assert str(archive) in python_paths()
    assert source_hash(sys.modules["mine"])
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("mine.py", "A = 2\n")
    assert source_hash(sys.modules["mine"]) is None


def test_a_change_is_refused_until_the_module_is_reloaded(tmp_path: Path) -> None:
    """Then its new source is the one to compare with."""
    (tmp_path / "mine.py").write_text("A = 1\n")
    own(tmp_path)
    before = module_hashes()["mine"]
    (tmp_path / "mine.py").write_text("A = 23\n")
    with pytest.raises(optitrip.InputError, match=r"mine.py has changed since it was imported; .*importlib.reload"):
        module_hashes()
    importlib.reload(sys.modules["mine"])
    assert module_hashes()["mine"] != before


@pytest.mark.daily
def test_code_that_was_changed_between_two_commands_is_seen(tmp_path: Path) -> None:
    """In a project whose virtual environment is its own folder (`python -m venv .`), by processes of it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path)], check=True)
    python = str(tmp_path / "bin" / "python")
    name = sysconfig.get_path("purelib", vars={"base": str(tmp_path), "platbase": str(tmp_path)})
    here = sysconfig.get_path("purelib"), Path(optitrip.__file__).parents[1]
    Path(name, "others.pth").write_text("".join(f"{folder}\n" for folder in here))
    (tmp_path / "f.py").write_text("def loss(x):\n    return x * x\n")
    tables = '[objective]\nloss = "f:loss"\n[space]\nx = { uniform = [-3, 3] }\n[method]\nuse = "search"\n'
    (tmp_path / "f.toml").write_text(tables + 'candidates = 20\n[tracking]\nuse = "none"\n')
    script = "from optitrip.cli.main import main; main()"
    command = [python, "-c", script, "sweep", "f.toml", "--executor", "serial"]
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == 0
    (tmp_path / "f.py").write_text("def loss(x):\n    return -1000 * x\n")
    command += ["--set", "method.candidates=40"]
    refused = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "modules.f: " in refused.stderr
