"""Files of the user that are named like a library: the library is found, and the user is told."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from optitrip.app.load_objective import load
from optitrip.core.notice import Notice
from optitrip.errors import InputError
from optitrip.runtime.libraries import FINDER
from optitrip.runtime.shadowing import described, needed_modules, shadowing_files, use_import_paths
from optitrip.store.inspect import place_of
from optitrip.store.lookup import read

LIBRARIES = (
    *("resource", "pyarrow", "packaging", "queue", "secrets", "yaml", "typing_extensions", "ray", "mlflow", "psutil"),
    *("matplotlib", "dateutil", "numbers", "gzip", "statistics", "fractions", "winreg", "mpl_toolkits", "scipy"),
)
"""Names of files: modules of Python and of libraries, some of which other libraries import late."""
PACKAGES = ("PIL", "xml", "concurrent", "sqlalchemy")
SWEEP = '[objective]\nloss = "{}"\n[space]\nx = {{ normal = [0, 3] }}\n[method]\nuse = "search"\ncandidates = 30\n'


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Restore the import path, and forget the user's folders."""
    path, names, folders, modules = list(sys.path), set(FINDER.names), set(FINDER.folders), set(sys.modules)
    yield
    sys.path[:] = path
    FINDER.names, FINDER.folders = names, folders
    for name in set(sys.modules) - modules:
        if name.startswith("user_"):
            del sys.modules[name]


def crowd(folder: Path) -> None:
    """Write a sweep, and files and packages that fail if anything imports them."""
    poison = "raise ImportError(f'{__file__} was imported')\n"
    for name in LIBRARIES:
        (folder / f"{name}.py").write_text(poison)
    for name in PACKAGES:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(poison)
    (folder / "user_loss.py").write_text("def loss(x):\n    return x * x\n")
    (folder / "sweep.toml").write_text(SWEEP.format("user_loss:loss"))


@pytest.mark.parametrize("executor", ["serial", pytest.param("ray", marks=pytest.mark.thorough)])
def test_a_sweep_among_files_named_like_libraries(tmp_path: Path, executor: str) -> None:
    """All is evaluated, written and tracked, in this process and on workers, and a line names the files. `python -m`
    puts the working directory first, before anything that optitrip needs is imported."""
    crowd(tmp_path)
    tracking = ["--set", 'tracking.use="none"'] if executor == "serial" else []
    words = [sys.executable, "-m", "optitrip", "sweep", "sweep.toml", "--executor", executor, *tracking]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "30 evaluated now" in done.stdout
    assert {"candidates.parquet", "losses.png"} <= {path.name for path in tmp_path.glob(".optitrip/*/*")}
    assert done.stderr.count("named like a module of Python or of a library") == 1
    assert "was imported" not in done.stderr


def test_which_files_are_named_like_libraries(tmp_path: Path) -> None:
    """Modules and packages of the names of Python's modules, those of other systems too, and of what optitrip needs,
    through other packages or not; neither a folder of files, nor a file with the name of any other installed module."""
    crowd(tmp_path)
    for name in ("iniconfig", "pluggy", "hypothesis", "user_other"):  # installed for these tests alone, or not at all
        (tmp_path / f"{name}.py").write_text("")
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "data.txt").write_text("")
    (tmp_path / "csv.txt").write_text("")
    found = shadowing_files([str(tmp_path)])
    assert found.keys() | {"psutil"} == {*LIBRARIES, *PACKAGES}
    assert found["yaml"] == str(tmp_path / "yaml.py")
    assert found["PIL"] == str(tmp_path / "PIL" / "__init__.py")
    assert shadowing_files([str(tmp_path / "absent"), str(tmp_path / "json")]) == {}
    assert {"kiwisolver", "numpy"} <= needed_modules()


def test_a_folder_of_pythonpath_is_left_as_python_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets PYTHONPATH may want its modules before the libraries."""
    crowd(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert shadowing_files([str(tmp_path)]) == {}


def test_a_library_is_found_past_the_users_folders(tmp_path: Path) -> None:
    """Also a part of one that this process has not imported; the user's other modules are still the user's."""
    for name in ("colorsys", "chunk", "user_shadow"):
        (tmp_path / f"{name}.py").write_text("MINE = True")
    sys.modules.pop("colorsys", None)
    files = use_import_paths((str(tmp_path),))
    assert files.keys() == {"colorsys", "chunk"}
    assert not hasattr(import_module("colorsys"), "MINE")
    assert import_module("user_shadow").MINE
    assert sys.path[0] == str(tmp_path)


def test_a_module_of_another_system_is_still_missing(tmp_path: Path) -> None:
    """Libraries try to import it, to see which system this is."""
    absent = "winreg" if sys.platform != "win32" else "resource"
    (tmp_path / f"{absent}.py").write_text("")
    use_import_paths((str(tmp_path),))
    with pytest.raises(ModuleNotFoundError, match=absent):
        import_module(absent)


@pytest.mark.parametrize("name", ["queue", "colorsys", "pyarrow", "time"])
def test_a_loss_in_a_module_named_like_a_library_is_refused(tmp_path: Path, name: str) -> None:
    """Whether the library is imported already, not yet, or built in: the message has the file."""
    (tmp_path / f"{name}.py").write_text("def loss(x): return x")
    (tmp_path / "sweep.toml").write_text(SWEEP.format(f"{name}:loss"))
    wanted = rf"its module is {tmp_path / name}\.py, but {name} is also a module of Python or of a library .*rename"
    with pytest.raises(InputError, match=wanted):
        load(read(tmp_path / "sweep.toml"))
    assert place_of(name, tmp_path).endswith("but named like a library's: rename it")


def test_folders_that_the_loss_adds_to_the_path_are_the_users_too(tmp_path: Path) -> None:
    """`sys.path.insert` in the module of the loss: libraries that are imported later are found all the same."""
    sys.modules.pop("colorsys", None)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "colorsys.py").write_text("MINE = True")
    (tmp_path / "more" / "user_inner.py").write_text("MINE = True")
    code = f"""
        import sys
        sys.path.insert(0, {str(tmp_path / "more")!r})
        import user_inner
        def loss(x): return x
    """
    (tmp_path / "user_inserts.py").write_text(textwrap.dedent(code))
    (tmp_path / "sweep.toml").write_text(SWEEP.format("user_inserts:loss"))
    notices: list[Notice] = []
    load(read(tmp_path / "sweep.toml"), notices.append)
    assert [notice.code for notice in notices] == ["named-like-library"]
    assert str(tmp_path / "more" / "colorsys.py") in notices[0].text
    assert not hasattr(import_module("colorsys"), "MINE")


def test_a_long_list_of_files_is_cut() -> None:
    """A folder may be full of them."""
    text = described({f"m{number}": f"/here/m{number}.py" for number in range(9)})
    assert "/here/m4.py and 4 more. `import m0` finds" in text
