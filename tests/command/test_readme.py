"""The README is true: each of its commands runs, and so does its code."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from command import ROOT, optitrip, optitrip_process
from optitrip.store.lookup import read

DIGITS = ["sweep", "sweeps/digits_random.toml"]


def readme_commands() -> list[list[str]]:
    """The words of the optitrip commands in the README's indented blocks, without those that need a server or a
    cluster."""
    text = (ROOT / "README.md").read_text()
    lines = [line.split("#")[0].strip() for line in text.splitlines() if line.startswith("    ")]
    commands = [shlex.split(line.partition("run optitrip ")[2]) for line in lines if "run optitrip " in line]
    return [words for words in commands if words[0] not in {"ui", "submit", "fetch"}]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the sweep files, and those that the README has a person write."""
    shutil.copytree(ROOT / "sweeps", tmp_path / "sweeps")
    code = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "bowl.py").write_text(next(block for _, block in code if "def loss(x, y" in block))
    (tmp_path / "bowl.toml").write_text(next(block for kind, block in code if kind == "toml"))
    return tmp_path


def test_the_readme_has_so_many_commands() -> None:
    """None is overlooked."""
    first = [words[0] for words in readme_commands()]
    assert (first.count("sweep"), first.count("check"), first.count("gradcheck")) == (17, 1, 1)


def test_the_python_of_the_readme_runs() -> None:
    """The search finds the neighbourhood of (1, -2), and the gradient there is that of the bowl; the gradient of the
    other loss is right to its error, and SciPy finds its minimum."""
    text = (ROOT / "README.md").read_text()
    blocks = [block for _, block in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL) if "import optitrip" in block]
    trial: dict[str, Any] = {}
    names: dict[str, Any] = {}
    exec(next(block for block in blocks if "gradcheck" in block), trial)
    assert (abs(trial["there"].gradient["x"] - (4 * (trial["x"] - 1) ** 3 + 2 * trial["x"])) < 1e-8).all()
    slopes = trial["there"].gradient["x"]
    assert trial["line"].slopes == pytest.approx([(slopes[0] - slopes[2]) / 2**0.5, slopes[1]])
    assert 0 < trial["rough"].cosine < 1
    exec(next(block for block in blocks if "optitrip.search" in block), names)
    descent: dict[str, Any] = {}
    exec(next(block for block in blocks if "optitrip.descend" in block), descent)
    assert descent["bowl"].loss < 1e-3
    assert descent["step"].loss < 1e-3
    adaptive: dict[str, Any] = {}
    exec(next(block for block in blocks if "optitrip.ask_tell" in block), adaptive)
    assert adaptive["climbed"].loss < 0.01
    assert adaptive["climbed"].x["n"] == 3
    found, there = names["found"], names["there"]
    assert found.loss < 0.1
    assert float(there.gradient["x"]) == pytest.approx(2 * (found.x["x"] - 1), abs=1e-8)
    assert float(there.gradient["y"]) == pytest.approx(2 * (found.x["y"] + 2), abs=1e-8)


def test_the_readme_names_the_two_commands() -> None:
    """Each alone is enough on a fresh machine; the second is what CI runs."""
    text = (ROOT / "README.md").read_text()
    assert "    pip install uv && uv run optitrip sweep sweeps/digits_random.toml\n" in text
    assert "    pip install uv && uv run pytest\n" in text
    assert "uv run pytest" in (ROOT / ".ci" / "run").read_text()


def test_the_sweep_files_of_the_readme_are_valid(tmp_path: Path) -> None:
    """The tables of the second are those that the first may have too."""
    blocks = [block for kind, block in re.findall(r"```(\w+)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
              if kind == "toml"]  # fmt: skip
    (program,) = [block for block in blocks if "[program]" in block]
    blocks.remove(program)
    for name, text in {"deck.in": "@rate@", "mesh.dat": ""}.items():
        (tmp_path / name).write_text(text)
    rest = "[space]\nrate = { uniform = [0, 1] }\nmesh = { shape = 3, uniform = [0, 1] }\nseed = 3\n"
    rest += "[method]\nuse = 'search'\ncandidates = 3\n"
    (tmp_path / "program.toml").write_text(program + rest)
    assert read(tmp_path / "program.toml").objective.files == ["deck.in", "mesh.dat"]
    (drawn,) = [block for block in blocks if "redraw" in block]
    blocks.remove(drawn)
    (tmp_path / "drawn.toml").write_text('[objective]\nloss = "bowl:loss"\n' + drawn)
    assert read(tmp_path / "drawn.toml").method.redraw
    whole = "".join(blocks).replace("retries = 2", "# retries = 2")
    assert whole.count("retries") == 1
    (tmp_path / "bowl.toml").write_text(whole)
    assert read(tmp_path / "bowl.toml").stop.no_improvement == 20_000


FOLLOWED = [f"leg.{leg}.steps=2" for leg in ("sgd", "momentum", "adam")]
SHORT_LEGS = ["leg.blind.candidates=99", "leg.local.tries=9", *FOLLOWED]


def small(words: list[str]) -> list[str]:
    """Return the command with few items, without Ray and MLflow."""
    if words[0] not in ("sweep", "gradcheck"):
        return words
    kind = words[1].removesuffix(".toml").rpartition("_")[2]
    few = {
        "sweeps/sensitivity": "method.rows=50",
        "gradient": "method.coordinates=5",
        "estimate": "method.directions=5",
        "rules": "method.steps=4",
    }.get(kind, "method.candidates=100")
    few = "method.candidates=6" if kind == "sweeps/program" else few
    settings = SHORT_LEGS if "roadtrip" in words[1] else [few]
    options = [word for setting in (*settings, "tracking.use=none") for word in ("--set", setting)]
    return [*words, *options] if words[0] == "gradcheck" else [*words, "--executor", "serial", *options]


@pytest.mark.daily
def test_every_command_of_the_readme_is_one(clone: Path) -> None:
    """In order, each with few items."""
    for words in readme_commands():
        done = optitrip(clone, *small(words))
        assert done.returncode == 0, (words, done.stderr)


@pytest.mark.ray
@pytest.mark.daily
@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_every_command_of_the_readme_runs(clone: Path) -> None:
    """In order, as written, in a clone: the sweep of 100,000 candidates, then what follows it."""
    for words in readme_commands():
        done = optitrip_process(clone, *words)
        assert done.returncode == 0, (words, done.stderr)
        if words == DIGITS:
            assert "100,000" in done.stdout
            assert_quiet(done)
        if "method.candidates=120_000" in words:
            assert "20,000 evaluated now" in done.stdout


@pytest.mark.ray
@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_the_first_command_on_ray_prints_nothing_of_ray_and_mlflow(clone: Path) -> None:
    """Ray is asked for: a fast machine would evaluate the few seconds that are left in the process itself."""
    done = optitrip_process(clone, *DIGITS, "--executor", "ray")
    assert done.returncode == 0, done.stderr
    assert re.search(r"evaluating on \d+ .*Ray workers", done.stderr)
    assert "100,000" in done.stdout
    assert_quiet(done)


def assert_quiet(done: CompletedProcess[str]) -> None:
    """Check that no line of Ray's, MLflow's or their libraries' is printed."""
    for word in ("auth", "token", "WARNING", "alembic", "Context impl", "View run", "http"):
        assert word not in done.stderr + done.stdout
