"""Imports point down, importing is cheap, and each heavy library lives in its adapter."""

from __future__ import annotations

import ast
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import optitrip

PACKAGE = Path(optitrip.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
ADAPTERS = {
    "ray": {
        "executors/ray/bootstrap.py",
        "executors/ray/cluster.py",
        "executors/ray/joining.py",
        "executors/ray/launch.py",
        "executors/ray/local.py",
        "executors/ray/objects.py",
        "executors/ray/pool.py",
        "executors/ray/raylet.py",
        "executors/ray/shared.py",
        "executors/ray/shipment.py",
        "executors/ray/starts.py",
        "executors/ray/waiting.py",
    },
    "mlflow": {"tracking/children.py", "tracking/mlflow_client.py", "tracking/mlflow_store.py"},
    "typer": {
        "cli/cluster.py",
        "cli/gradcheck.py",
        "cli/importance.py",
        "cli/main.py",
        "cli/options.py",
        "cli/replay.py",
    },
    "matplotlib": {"output/pictures.py"},
    "plotly": {"methods/search/report.py"},
    "pooch": {"objectives/data/download.py"},
    "pyarrow": {"output/tables.py", "runtime/remote.py"},
    "rich": {"output/terminal.py", "cli/run.py", "cli/stored.py", "api/runner.py"},
}
RANKS = (
    {"errors"},
    {"core"},
    {"output", "runtime", "samplers", "scheduler"},
    {"journal", "space"},
    {"executors", "loss"},
    {"driver", "methods", "objectives"},
    {"config"},
    {"store"},
    {"jobs"},
    {"tracking"},
    {"app"},
    {"api", "cli", "__init__"},
)
"""The rooms of the package from the ground up: a room imports from the ranks below its own only."""
APART = {
    "journal": {"core", "runtime", "errors"},
    "executors": {"core", "runtime", "errors"},
    "objectives": {"core", "runtime", "errors"},
    "driver": {"core", "runtime", "scheduler", "journal", "errors"},
    "jobs": {"runtime", "output", "journal", "config", "store", "errors"},
    "tracking": {"core", "runtime", "output", "journal", "config", "store", "jobs", "errors"},
}
"""Rooms that know less than their rank allows."""
PURE = {"core", "space", "samplers", "loss", "objectives", "methods", "output", "scheduler"}
"""Rooms without a clock, a process, a thread or a random state."""


def imported(path: Path) -> set[str]:
    """Every module that a file imports when it runs, wherever in it: annotations may name what lies above."""
    names: set[str] = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.If)
            and isinstance(node.test, ast.Name | ast.Attribute)
            and "TYPE_CHECKING" in ast.dump(node.test)
        ):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def rank_of(name: str) -> int:
    (found,) = (number for number, names in enumerate(RANKS) if name in names)
    return found


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    """Lower folders never import higher ones, and only its adapter imports a heavy library."""
    mine, names = room(path), imported(path)
    for library, adapters in ADAPTERS.items():
        if any(name == library or name.startswith(f"{library}.") for name in names):
            assert str(path.relative_to(PACKAGE)) in adapters, f"{path.name} imports {library}"
    if mine == "__main__":
        return
    rooms = {name.split(".")[1] for name in names if name.startswith("optitrip.")} - {mine, "IMPORTED_AT"}
    below = {name for rank in RANKS[: rank_of(mine)] for name in rank}
    assert rooms <= APART.get(mine, below)
    if mine in PURE and path.name != "terminal.py":  # the live line has a clock
        impure = {"time", "datetime", "random", "threading", "subprocess", "os", "secrets"}
        assert not {name for name in names if name.split(".")[0] in impure}


def test_every_folder_is_a_package() -> None:
    """A folder that `.gitignore` names, e.g. one called data, would be missing in a wheel."""
    folders = {path.parent for path in MODULES}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []
    ignored = ["git", "-C", str(PACKAGE), "ls-files", "--others", "--ignored", "--exclude-standard", "*.py", "*.npz"]
    assert subprocess.run(ignored, capture_output=True, text=True).stdout == ""


def loaded_by(code: str) -> set[str]:
    """Top-level modules in a fresh interpreter after some code."""
    script = f"{code}\nimport sys; print(' '.join(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    # On stderr: after a sweep, its command's stdout is only for the result.
    return {name.split(".")[0] for name in done.stderr.splitlines()[-1].split()}


TABLES = "import numpy; from optitrip.output import tables"


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import optitrip", {"ray", "mlflow", "matplotlib", "numpy", "scipy", "typer"}),
        ("import optitrip.cli.main", {"ray", "mlflow", "matplotlib", "numpy", "scipy", "rich", "pydantic", "pyarrow"}),
        ("import optitrip.objectives, optitrip.methods.search", {"ray", "mlflow", "typer", "matplotlib", "sklearn"}),
        ("import optitrip.tracking.subprocess_client", {"ray", "mlflow", "numpy", "typer"}),
        ("import optitrip.app.run_sweep", {"ray", "mlflow", "typer", "matplotlib", "sklearn", "pyarrow"}),
        ("import optitrip.executors.serial", {"mlflow", "typer", "matplotlib"}),
        ("import optitrip.store.runs", {"ray", "mlflow", "typer", "matplotlib", "pyarrow"}),
        (f"{TABLES}; tables.parquet_bytes({{'loss': numpy.zeros(3)}})", {"pandas", "matplotlib", "scipy"}),
    ],
)
def test_a_fresh_interpreter_stays_light(code: str, absent: set[str]) -> None:
    """`optitrip --help` is instant because it imports next to nothing; workers never import mlflow."""
    assert not loaded_by(code) & absent


@pytest.mark.daily
def test_a_command_imports_only_what_it_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
    """A tracked gradient in the driver's own process needs neither Ray nor what MLflow is made of, and no tables."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(store, tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sweep = PACKAGE.parent / "sweeps" / "digits_gradient.toml"
    words = ["optitrip", "sweep", str(sweep), "--executor", "serial", "--json"]
    loaded = loaded_by(
        f"import sys; from optitrip.cli.main import main\nsys.argv = {words!r}\ntry: main()\nexcept SystemExit: pass"
    )
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    assert {"matplotlib", "scipy"} <= loaded
    assert not loaded & {"ray", "mlflow", "sqlalchemy", "pandas", "pyarrow", "sklearn", "pooch"}


ALONE = """
import importlib, sys, traceback
for name in sys.argv[1:]:
    for known in [known for known in sys.modules if known.partition(".")[0] == "optitrip"]:
        del sys.modules[known]
    try:
        importlib.import_module(name)
    except ImportError:
        print(name, traceback.format_exc())
"""


@pytest.mark.thorough
def test_every_module_imports_alone() -> None:
    """No import cycle hides behind an order of imports."""
    names = [".".join(("optitrip", *path.relative_to(PACKAGE).with_suffix("").parts)) for path in MODULES]
    names = [name.removesuffix(".__init__") for name in names]
    done = subprocess.run([sys.executable, "-c", ALONE, *names], check=True, capture_output=True, text=True)
    assert done.stdout == ""
