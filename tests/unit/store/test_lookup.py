"""The point of a gradient: every way to name one, and every way to be wrong."""

from __future__ import annotations

import re
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from driver_setup import Recording
from optitrip.app.context import Options
from optitrip.app.run_sweep import run_sweep
from optitrip.config.sweep import Sweep
from optitrip.core.point import Point
from optitrip.errors import InputError
from optitrip.journal.facts import RecordedRun
from optitrip.journal.journal import Journal
from optitrip.space.candidates import Candidates
from optitrip.store.lookup import read

FILE = """\
seed = 4
[objective]
loss = "base_point_loss:loss"
[space]
W = {{ shape = [2, 3], normal = [0, 1] }}
b = {{ uniform = [-1, 1], dtype = "float32" }}
kernel = "rbf"
[method]
use = "gradient"
at = {at}
[tracking]
use = "none"
"""
SEARCH = FILE.replace('use = "gradient"\nat = {at}', 'use = "search"\ncandidates = 30').format()
LOSS = "def loss(W, b, kernel): return float((W ** 2).sum()) + (b - 1) ** 2\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "base_point_loss", raising=False)
    (tmp_path / "base_point_loss.py").write_text(LOSS)
    (tmp_path / "found.toml").write_text(SEARCH)
    return tmp_path


def sweep_at(folder: Path, at: str, *overrides: str) -> Sweep:
    (folder / "there.toml").write_text(FILE.format(at=at))
    return read(folder / "there.toml", overrides, folder / ".optitrip")


def point(sweep: Sweep) -> Point:
    return sweep.start_point


def refused(folder: Path, at: str) -> str:
    with pytest.raises(InputError) as caught:
        sweep_at(folder, at)
    return str(caught.value).replace(f"{folder}/", "")


def searched(folder: Path) -> Any:
    return run_sweep(read(folder / "found.toml"), Options(), Recording())


def test_a_candidate_is_the_one_of_that_index(folder: Path) -> None:
    """The point is the one that a search of the same space and seed draws; constants have the values of the file."""
    sweep = sweep_at(folder, "{ candidate = 17 }")
    drawn = Candidates(sweep.space, 4).point(17)
    found = point(sweep)
    assert found.varied == ("W", "b")
    for name in ("W", "b"):
        assert found.values[name].tobytes() == drawn[name][0].tobytes()
        assert found.values[name].dtype == drawn[name].dtype
    assert str(found.values["kernel"]) == "rbf"


def test_fill_and_values(folder: Path) -> None:
    """The point is one number everywhere, or given entry by entry; whole numbers are read as reals."""
    filled = point(sweep_at(folder, "{ fill = 0.5 }"))
    assert filled.values["W"].tolist() == [[0.5] * 3] * 2
    assert (float(filled.values["b"]), filled.values["b"].dtype) == (0.5, np.float32)
    given = point(sweep_at(folder, "{ values = { W = [[1, 2, 3], [4, 5, 6]], b = 7 } }"))
    assert given.values["W"].tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert given.values["W"].dtype == np.float64
    assert not given.values["W"].flags.writeable


def test_values_need_no_name_where_there_is_one_variable(folder: Path) -> None:
    """`values = [-1.2, 1]` is the start of Rosenbrock's function."""
    (folder / "one.toml").write_text(
        '[objective]\nloss = "optitrip.objectives:Rosenbrock"\n[space]\nx = { shape = [2] }\n'
        '[method]\nuse = "gradient"\nat = { values = [-1.2, 1] }\n[tracking]\nuse = "none"\n'
    )
    outcome: Any = run_sweep(read(folder / "one.toml", ["method.scheme=central"]), Options(), Recording())
    np.testing.assert_allclose(outcome.answer.gradient["x"], [-215.6, -88], rtol=1e-9)
    assert outcome.answer.loss == pytest.approx(24.2)


def test_a_file_beside_the_sweep_file(folder: Path) -> None:
    """An .npz is looked up in the sweep file's folder, else in the working directory."""
    W = np.arange(6.0).reshape(2, 3)
    np.savez(folder / "w.npz", W=W, b=2.0)
    assert point(sweep_at(folder, '{ file = "w.npz" }')).values["W"].tobytes() == W.tobytes()
    elsewhere = folder / "sub"
    elsewhere.mkdir()
    assert point(sweep_at(elsewhere, '{ file = "w.npz" }')).values["W"].tobytes() == W.tobytes()


def test_the_best_of_a_search_by_every_name_of_it(folder: Path) -> None:
    """The search's file, name, identity and directory name all give its winner, to the bit."""
    outcome = searched(folder)
    best = outcome.answer.x
    for name in ("found.toml", "found", outcome.identity, f"found-{outcome.identity}", str(folder / "found.toml")):
        found = point(sweep_at(folder, f'{{ best_of = "{name}" }}'))
        assert found.values["W"].tobytes() == best["W"].tobytes()
        assert float(found.values["b"]) == best["b"]


def test_the_best_of_an_mlflow_run(folder: Path) -> None:
    """A search is found by the id of its run, as MLflow's page shows it."""
    outcome = searched(folder)
    with closing(Journal(Path(outcome.state_dir) / "journal.sqlite", outcome.identity)) as journal:
        journal.note(RecordedRun("sqlite:///mlflow.db", "optitrip", "0123456789abcdef0123456789abcdef"))
    found = point(sweep_at(folder, '{ best_of = "0123456789abcdef0123456789abcdef" }'))
    assert found.values["W"].tobytes() == outcome.answer.x["W"].tobytes()


def test_the_identity_is_that_of_the_values(folder: Path) -> None:
    """One point in other words is one sweep; another point is another one."""
    identities = {
        at: sweep_at(folder, at).identity
        for at in ("{ fill = 0 }", "{ values = { W = [[0, 0, 0], [0, 0, 0]], b = 0 } }", "{ fill = 1e-30 }")
    }
    first, same, other = identities.values()
    assert first == same != other
    assert sweep_at(folder, "{ fill = 0 }", "method.coordinates=2").identity == first
    assert sweep_at(folder, "{ fill = 0 }", "method.step=0.1").identity != first


WRONG: dict[str, tuple[str, list[str]]] = {
    "none": ("{ }", ["there.toml:10: method.at: wanted exactly one of candidate, best_of", "found none"]),
    "a sampler": (
        '{ fill = 0 }\nsampler = "halton"',
        ["there.toml:11: method.sampler: only applies to at = { candidate = ... }", "remove this line, or give"],
    ),
    "the usual sampler": ('{ fill = 0 }\nsampler = "random"', ["there.toml:11: method.sampler: only applies"]),
    "two": ("{ fill = 0, candidate = 3 }", ["method.at: wanted exactly one", "found candidate and fill"]),
    "unknown": ("{ fil = 0 }", ["there.toml:10: method.at.fil: unknown key; did you mean fill?"]),
    "no number": ('{ fill = "x" }', ["there.toml:10: method.at.fill: was 'x', wanted"]),
    "infinite": ("{ fill = inf }", ["method.at.fill: was inf, wanted a finite number"]),
    "too small for float32": ("{ fill = 1e-300 }", ["b is 1e-300, which float32 rounds to 0.0", 'dtype = "float64"']),
    "too long for float32": (
        "{ values = { W = [[1, 2, 3], [4, 5, 6]], b = 16777217 } }",
        ["b is 16777217, which float32 rounds to 16777216.0"],
    ),
    "too long for float64": (
        "{ values = { W = [[1, 2, 9007199254740993], [4, 5, 6]], b = 7 } }",
        ["W[0, 2] is 9007199254740993, which float64 rounds to"],
    ),
    "too large for float32": ("{ fill = 1e300 }", ["there.toml:10: method.at.fill: b is inf, wanted finite numbers"]),
    "NaN": (
        "{ values = { W = [[1, 2, nan], [4, 5, 6]], b = 7 } }",
        ["there.toml:10: method.at.values: W[0, 2] is nan, wanted finite numbers"],
    ),
    "shape": ("{ values = { W = [1, 2], b = 7 } }", ["there.toml:10:", "W has shape [2], wanted [2, 3]"]),
    "ragged": ("{ values = { W = [[1], [2, 3]], b = 7 } }", ["W was [[1], [2, 3]], wanted numbers"]),
    "booleans": ("{ values = { W = [[true, false, true], [true, true, true]], b = 7 } }", ["W was", "wanted numbers"]),
    "itself": ('{ best_of = "there.toml" }', ["there.toml is a gradient and has no best point; wanted a search"]),
    "nobody's file": ('{ file = "~nosuchuser/x.npz" }', ["cannot be a file"]),
    "words": ('{ values = { W = "w", b = 7 } }', ["W was 'w', wanted numbers"]),
    "missing variable": ("{ values = { b = 7 } }", ["has no W, which the space has"]),
    "other variable": ("{ values = { V = 7 } }", ["has V, but the space has W, b, kernel"]),
    "no name": ("{ values = [1, 2] }", ["was [1, 2]; wanted a table of the variables W, b"]),
    "no file": ('{ file = "absent.npz" }', ["there.toml:10: method.at.file:", "absent.npz: no such file"]),
    "not a file of numbers": ('{ file = "there.toml" }', ["method.at.file:", "cannot be read as an .npz"]),
    "no sweep": (
        '{ best_of = "nothing" }',
        [
            "method.at.best_of: there is no finished search, adaptive, local_search, descent or trip 'nothing'",
            "run it first",
        ],
    ),
    "an odd name": (
        '{ best_of = "../[*" }',
        ["there is no finished search, adaptive, local_search, descent or trip '../[*'"],
    ),
    "a sweep that was not run": (
        '{ best_of = "found.toml" }',
        ["there is no finished search, adaptive, local_search, descent or trip 'found.toml'"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_point_is_reported_at_its_line(folder: Path, case: str) -> None:
    """The message has file, line and key, what was given and what was wanted."""
    at, wanted = WRONG[case]
    message = refused(folder, at)
    assert [part for part in wanted if part not in message] == [], message


@pytest.mark.parametrize("kind", ["array", "pickle", "truncated"])
def test_a_damaged_file_is_reported(folder: Path, kind: str) -> None:
    """A bare array, a pickle and half a file give a message at the line of `at`, and nothing is unpickled."""
    np.savez(folder / "w.npz", W=np.zeros((2, 3)), b=2.0)
    if kind == "array":
        with (folder / "w.npz").open("wb") as file:
            np.save(file, np.zeros(3))
    elif kind == "pickle":
        np.savez(folder / "w.npz", W=np.array([{"a": 1}], dtype=object))
    else:
        (folder / "w.npz").write_bytes((folder / "w.npz").read_bytes()[:100])
    assert re.search(r"there\.toml:10: method\.at\.file: .*w\.npz", refused(folder, '{ file = "w.npz" }'))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("k = { integer = [2, 10] }", "space.k: is integer, which has no derivative"),
        ('k = { choice = ["a", "b"] }', "space.k: is choice, which has no derivative"),
    ],
)
def test_variables_without_a_derivative_are_refused(folder: Path, entry: str, words: str) -> None:
    """The message has their line, and says how to hold them constant."""
    (folder / "there.toml").write_text(FILE.format(at="{ fill = 0 }").replace('kernel = "rbf"', entry))
    with pytest.raises(InputError) as caught:
        read(folder / "there.toml")
    message = str(caught.value)
    assert f"there.toml:7: {words}" in message
    assert "fix it, e.g. k = " in message


def test_constants_alone_have_no_gradient(folder: Path) -> None:
    """A space without a variable to step along is refused."""
    (folder / "there.toml").write_text(
        '[objective]\nloss = "a:b"\n[space]\nx = 3\n[method]\nuse = "gradient"\nat = { fill = 0 }\n'
    )
    with pytest.raises(InputError, match=r"there\.toml:3: space: holds constants only"):
        read(folder / "there.toml")


def test_a_search_needs_distributions_and_a_gradient_does_not(folder: Path) -> None:
    """`W = { shape = [2, 3] }` is enough if values come from elsewhere, but not if candidates are drawn."""
    text = FILE.replace(", normal = [0, 1]", "")
    (folder / "there.toml").write_text(text.format(at="{ fill = 0 }"))
    assert read(folder / "there.toml", root=folder).items == 7
    (folder / "there.toml").write_text(text.format(at="{ candidate = 0 }"))
    with pytest.raises(InputError, match=r"there\.toml:5: space\.W: wanted exactly one distribution"):
        read(folder / "there.toml")
