"""Large points: a block holds no more of them than fit, and no more than a few are in memory at a time."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optitrip
from optitrip.app.load_objective import load
from optitrip.loss.objective import batch_block
from optitrip.methods.gradient.picture import gradient_png
from optitrip.space.listed import typed_array
from optitrip.space.variables import Space
from optitrip.store.lookup import read
from optitrip.store.provenance import provenance

SHAPES: list[tuple[int, ...]] = []


@optitrip.batched
def recorded(x: Any) -> Any:
    SHAPES.append(x.shape)
    return np.square(x[:, ::64]).sum(axis=1)


@optitrip.batched(block=3)
def threes(x: Any) -> Any:
    SHAPES.append(x.shape)
    return x[:, 7].astype(float)


@pytest.mark.parametrize(
    ("space", "block"),
    [
        ({"x": {"normal": [0, 1]}}, 256),
        ({"x": {"normal": [0, 1], "shape": [2**15]}}, 256),
        ({"x": {"normal": [0, 1], "shape": [2**15 + 1]}}, 255),
        ({"x": {"normal": [0, 1], "shape": [10**6]}}, 8),
        ({"x": {"normal": [0, 1], "shape": [1000, 1000], "dtype": "float32"}}, 16),
        ({"x": {"normal": [0, 1], "shape": [10**6]}, "y": {"constant": 1.0, "shape": [10**6]}}, 4),
        ({"x": {"normal": [0, 1], "shape": [10**8]}}, 1),
    ],
)
def test_a_block_holds_64_mib_of_parameters(space: dict[str, Any], block: int) -> None:
    """256 points, or as many as take 64 MiB with their constants, or one that is larger."""
    assert batch_block(Space.parse(space)) == block


def test_the_loss_gets_such_blocks_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a search and in a gradient, in checks and in main stages."""
    size = 512
    monkeypatch.setattr("optitrip.loss.objective.BLOCK_BYTES", 2 * 8 * size)
    space = {"x": {"uniform": [-1, 1], "shape": [size]}}
    SHAPES.clear()
    found = optitrip.search(recorded, space, candidates=3, executor="serial")
    assert set(SHAPES) == {(2, size), (1, size)}
    x = found.candidates.point(2)["x"]
    assert found.losses[2] == pytest.approx(float(np.square(x[0, ::64]).sum()))
    SHAPES.clear()
    there = optitrip.gradient(recorded, np.ones(size), coordinates=2, executor="serial")
    assert set(SHAPES) == {(2, size), (1, size)}
    assert (there.loss, there.items) == (8.0, 2)


def test_the_loss_and_the_file_have_the_last_word(tmp_path: Path) -> None:
    """Their blocks win over the size of the points; the provenance holds what is used."""
    SHAPES.clear()
    optitrip.search(threes, {"x": {"uniform": [0, 1], "shape": [2**22]}}, candidates=1, executor="serial")
    assert set(SHAPES) == {(3, 2**22), (1, 2**22)}
    path = tmp_path / "sweep.toml"
    path.write_text(
        '[objective]\nloss = "test_large_points:recorded"\n[space]\nx = { uniform = [0, 1], shape = [1_000_000] }\n'
        '[method]\nuse = "search"\ncandidates = 3\n'
    )
    for settings, block in (([], 8), (["objective.block=5"], 5), (["objective.loss=test_large_points:threes"], 3)):
        sweep = read(path, settings)
        assert provenance(sweep, load(sweep)).block == block


@pytest.mark.thorough
def test_ten_million_parameters(tmp_path: Path) -> None:
    """A search, plain and in batches, and a few coordinates of a gradient at its best, with files and pictures: no more
    than about twenty points are in memory."""
    (tmp_path / "ten_million.py").write_text(
        "import numpy as np\nclass Loss:\n    def losses(self, x): return x[:, ::1000].sum(axis=1)\n"
        "    def __call__(self, x): return x[::1000].sum()\n    def digest(self): return 'one'\n"
    )
    code = """if True:
        import sys, optitrip, resource
        import ten_million
        loss, space = ten_million.Loss(), {"x": {"normal": [0, 1], "shape": [10_000_000]}}
        options = {"executor": "serial", "state_dir": "kept"}
        found = optitrip.search(loss, space, candidates=2, **options)
        plain = optitrip.search(loss, space, candidates=2, plain=True, executor="serial")
        there = optitrip.gradient(loss, found.x, coordinates=2, step=0.5, **options)
        print(abs(found.loss - plain.loss) < 1e-9, there.loss == found.loss, len(found._repr_html_()) > 1000)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < 20 * 80_000_000)
    """
    words = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "True True True\nTrue\n"
    assert {"best.npz", "point.npz", "gradient.png"} <= {path.name for path in tmp_path.glob("kept/*/*")}


def test_a_picture_of_many_columns_leaves_some_out() -> None:
    """Without the warning that matplotlib gives above 2^23, which would be an error here."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert gradient_png({"x": np.zeros(2**23 + 1, np.float32)}, {}, "x").startswith(b"\x89PNG")
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 2**30


def test_a_long_list_is_turned_into_an_array_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A constant and the options of a choice: plain calls draw candidates one by one."""
    lists, made = {"d": [1.0] * 1_000, "c": list(range(1_000))}, list[int]()
    space = Space.parse({"d": {"constant": lists["d"]}, "c": {"choice": lists["c"]}, "x": {"normal": [0, 1]}})
    monkeypatch.setattr(
        "optitrip.space.listed.typed_array", lambda given: made.append(len(given)) or typed_array(given)
    )
    described = repr(space.describe())
    for item in range(5):
        drawn = space.values({"c": np.full((1, 1), (item + 0.5) / 1_000), "x": np.full((1, 1), 0.5)}, 1)
        assert (drawn["d"].shape, float(drawn["d"].sum()), int(drawn["c"][0])) == ((1, 1_000), 1_000.0, item)
        assert not drawn["d"].flags.writeable
    assert len(made) <= 2
    assert repr(space.describe()) == described
