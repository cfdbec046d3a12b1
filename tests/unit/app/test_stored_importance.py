"""`optitrip importance`: which variables matter by what is stored of a search, without importing its loss."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from command import optitrip

SWEEP = """
seed = 5
[objective]
loss = "ranked_loss:loss"
[space]
lr = { log_uniform = [1e-4, 1] }
act = { choice = ["relu", "gelu"] }
idle = { uniform = [0, 1] }
W = { normal = [0, 1], shape = [3] }
c = 2
[method]
use = "search"
candidates = 200
[run]
executor = "serial"
[tracking]
use = "none"
"""
LOSS = """
import math
def loss(lr, act, idle, W, c):
    if lr > 0.8: raise ValueError("too fast")
    return math.log(lr) + 2 * (act == "relu")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ranked_loss.py").write_text(LOSS)
    (tmp_path / "ranked.toml").write_text(SWEEP)
    return tmp_path


def test_variables_of_a_stored_search(folder: Path) -> None:
    """The most important first, on lines of 80 columns; failures are counted, and the loss is not imported."""
    assert optitrip(folder, "sweep", "ranked.toml").returncode == 3
    (folder / "ranked_loss.py").unlink()
    done = optitrip(folder, "importance", "ranked")
    assert done.returncode == 0, done.stderr
    head, _, heads, _, *rest = done.stdout.splitlines()
    found = json.loads(optitrip(folder, "importance", "ranked.toml", "--json").stdout)
    assert found["candidates"] + found["failed"] == 200
    assert found["failed"] > 0
    assert head.endswith(f": {found['candidates']} candidates; {found['failed']} that failed are left out")
    assert heads.split(" | ") == ["variable", "  share", " error", "chance"]
    assert [line.split()[0] for line in rest[:3]] == list(found["importance"]) == ["lr", "act", "idle"]
    assert found["importance"]["idle"]["share"] < found["importance"]["idle"]["chance"]
    assert found["left_out"] == {"W": "an array", "c": "constant"}
    assert found["independent"] is True
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "Left out: W (an array), c (constant)" in rest


def test_an_unfinished_search(folder: Path) -> None:
    """A shard alone has its candidates; as many as it has stored are used."""
    optitrip(folder, "sweep", "ranked.toml", "--shard", "2/2")
    done = optitrip(folder, "importance", "ranked.toml", "--json", "--state-dir", ".optitrip/shard-2-of-2")
    found = json.loads(done.stdout)
    assert 90 < found["candidates"] + found["failed"] < 110


def test_candidates_of_a_searcher_are_not_independent(folder: Path) -> None:
    """That is said, in words and in JSON."""
    shutil.copy(Path(__file__).parents[2] / "support" / "hill.py", folder / "ranked_hill.py")
    adaptive = 'use = "adaptive"\nsearcher = "ranked_hill:Hill"'
    (folder / "ranked.toml").write_text(SWEEP.replace('use = "search"', adaptive))
    optitrip(folder, "sweep", "ranked.toml")
    done = optitrip(folder, "importance", "ranked")
    assert done.returncode == 0, done.stderr
    assert "the shares are only indicative" in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert json.loads(optitrip(folder, "importance", "ranked", "--json").stdout)["independent"] is False


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["method.candidates=30"], "stored candidates of ranked-"),
        (["method.candidates=30"], "wanted at least 40 to tell importance from chance"),
        (
            ["space.lr=0.5", 'space.act="relu"', "space.idle=1.0"],
            "has no scalar variable that is drawn: ",
        ),
    ],
)
def test_what_cannot_be_told_is_said(folder: Path, words: list[str], said: str) -> None:
    """Too few candidates, and nothing to compare."""
    settings = [word for one in words for word in ("--set", one)]
    optitrip(folder, "sweep", "ranked.toml", *settings)
    done = optitrip(folder, "importance", "ranked.toml", *settings)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_variable_that_hardly_varies(folder: Path) -> None:
    """Its row is empty, with a reason."""
    (folder / "ranked.toml").write_text(SWEEP.replace("idle = { uniform = [0, 1] }", "idle = { integer = [3, 3] }"))
    optitrip(folder, "sweep", "ranked.toml")
    done = optitrip(folder, "importance", "ranked")
    assert re.search(r"^ +idle \| +- \| +- \| +-$", done.stdout, re.MULTILINE)
    assert "Not told: idle, which hardly varied" in done.stdout
    assert json.loads(optitrip(folder, "importance", "ranked", "--json").stdout)["importance"]["idle"] is None


def test_a_variable_that_only_some_candidates_have(folder: Path) -> None:
    """It is said among how many it is compared, or that these are too few."""
    idle = 'idle = { uniform = [0, 1], when = "act == \'relu\'" }\nrare = { uniform = [0, 1], when = "lr > 0.7" }'
    (folder / "ranked.toml").write_text(SWEEP.replace("idle = { uniform = [0, 1] }", idle))
    (folder / "ranked_loss.py").write_text(LOSS.replace("idle, W, c", "W, c, idle=0, rare=0"))
    optitrip(folder, "sweep", "ranked.toml")
    said = " ".join(optitrip(folder, "importance", "ranked").stdout.split())
    assert "Not told: rare, which fewer than 40 candidates have." in said
    assert re.search(r"Compared among the candidates that have the variable: idle \(\d+\)\.", said)


def test_other_methods_say_what_they_have(folder: Path) -> None:
    """A gradient draws nothing; a sensitivity has its own answer."""
    settings = ["--set", "method.use=gradient", "--set", "method.at={fill=0.5}"]
    (folder / "ranked.toml").write_text(SWEEP.replace("candidates = 200", "").replace("act = ", 'act = "relu" # '))
    assert optitrip(folder, "sweep", "ranked.toml", *settings).returncode == 0
    done = optitrip(folder, "importance", "ranked.toml", *settings)
    assert (done.returncode, "a gradient draws no candidates" in done.stderr) == (2, True)
    settings = ["--set", "method.use=sensitivity", "--set", "method.rows=20"]
    optitrip(folder, "sweep", "ranked.toml", *settings)
    done = optitrip(folder, "importance", "ranked.toml", *settings)
    assert (done.returncode, "whose answer tells which variables matter" in done.stderr) == (2, True)
