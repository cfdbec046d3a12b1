"""Variables may have any names where they arrive as a mapping, and keep them in every file, table and message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optitrip
from optitrip.app.replay import replay
from optitrip.core.arrays import Array
from optitrip.store.lookup import find_stored_sweep, read

NAMES = [
    "0.weight", "a-b", "class", "lr@0", "x y", "größe", "温度", "a/b", "..", "a.npy", "a", " ", "[b]", '"', "\n",
    "n" * 3_000, "loss", "index", "file", "self", "call", "method", "values", "coordinate", "func", "args", "name",
]  # fmt: skip
SPACE: dict[str, Any] = {name: {"uniform": [-1, 1]} for name in NAMES}
X = {name: float(number) for number, name in enumerate(NAMES)}


class Sphere:
    """The sum of the squares of all variables, in one dict, with all that a loss may offer."""

    def __call__(self, point: dict[str, float]) -> float:
        return float(sum(value**2 for value in point.values()))

    def losses(self, points: dict[str, Array]) -> Array:
        return np.sum([column**2 for column in points.values()], axis=0)

    def gradient(self, point: dict[str, float]) -> dict[str, float]:
        return {name: 2 * value for name, value in point.items()}

    def report(self, point: dict[str, float]) -> dict[str, float]:
        return {f"size of {name}": abs(value) for name, value in point.items()}

    def images(self, point: dict[str, Any]) -> dict[str, Array]:
        return {name: np.full((2, 2), point[name]) for name in list(point)[:3]}

    def digest(self) -> str:
        return "sphere"


class Structured(Sphere):
    def around(self, point: dict[str, float]) -> Any:
        at = np.array(list(point.values()))

        class Around:
            def deltas(self, coordinates: Array, steps: Array) -> Array:
                return steps * (2 * at[coordinates] + steps)

        return Around()


def by_name(**point: float) -> float:
    return Sphere()(point)


@pytest.mark.daily
@pytest.mark.parametrize("as_dict", [True, False])
def test_a_search_keeps_any_names(tmp_path: Path, as_dict: bool) -> None:
    """In the answer, the files, the report, and the journal, from which the same call shows it again."""
    loss: Any = Sphere() if as_dict else by_name
    given: dict[str, Any] = {"candidates": 12, "as_dict": as_dict, "executor": "serial", "state_dir": tmp_path}
    found, again = (optitrip.search(loss, SPACE, **given) for _ in range(2))
    assert again.loss == found.loss
    assert list(found.x) == NAMES
    assert found.loss == pytest.approx(sum(value**2 for value in found.x.values()))
    if as_dict:
        assert found.report == {f"size of {name}": abs(found.x[name]) for name in NAMES}
        assert list(found.images) == NAMES[:3]
    (file,) = tmp_path.glob("*/best.npz")
    there: Any = optitrip.sweep(
        {
            "objective": {"loss": "test_any_names:by_name"},
            "space": {name: {"shape": []} for name in NAMES},
            "method": {"use": "gradient", "at": {"file": str(file)}},
        },
        executor="serial",
    )
    assert there.x == found.x


@pytest.mark.parametrize("loss", [Sphere(), Structured()], ids=["batches", "deltas"])
def test_a_gradient_keeps_any_names(tmp_path: Path, loss: Any) -> None:
    """Its numbers, those of the analytic gradient, and the file."""
    found = optitrip.gradient(loss, X, as_dict=True, executor="serial", state_dir=tmp_path)
    assert found.analytic is not None
    for name in NAMES:
        assert found.gradient[name] == pytest.approx(2 * X[name], abs=1e-6)
        assert found.analytic[name] == 2 * X[name]
    (file,) = tmp_path.glob("*/gradient.npz")
    with np.load(file) as stored:
        assert {name: float(stored[f"{name}.npy"]) for name in NAMES} == {
            name: float(found.gradient[name]) for name in NAMES
        }


SWEEP = """[objective]
loss = "test_any_names:Sphere"
as_dict = true

[space]
"0.weight" = { normal = [0, 1] }
'lr@"0"' = { log_uniform = [0.1, 1] }
"größe x" = 2.5

[method]
use = "search"
candidates = 9
"""


def test_a_sweep_file_quotes_its_names(tmp_path: Path) -> None:
    """Overrides, mistakes with their lines, and a candidate evaluated again."""
    file = tmp_path / "names.toml"
    file.write_text(SWEEP, encoding="utf-8")
    found: Any = optitrip.sweep(file, state_dir=tmp_path, executor="serial")
    assert list(found.x) == ["0.weight", 'lr@"0"', "größe x"]
    sweep, folder = find_stored_sweep("names", tmp_path)
    lines: list[str] = []
    assert replay(sweep, found.index, lines.append, folder) == found.loss
    assert [line.split(" = ")[0].strip() for line in lines[1:]] == list(found.x)
    assert json.loads(json.dumps(sweep.identity_fields))["objective"]["as_dict"] is True
    moved = read(file, ['space."0.weight"={ normal = [1, 1] }', 'space."größe x"=3'], tmp_path)
    assert moved.space.describe()["0.weight"] == {"normal": [1.0, 1.0]}
    assert moved.space.describe()["größe x"] == {"constant": 3}
    file.write_text(SWEEP.replace("[0.1, 1]", "[0, 1]"), encoding="utf-8")
    with pytest.raises(optitrip.InputError, match=r'names.toml:7: space."lr@\\"0\\"".log_uniform: low must be above 0'):
        read(file)


def test_as_dict_is_part_of_the_identity_only_where_it_is_on(tmp_path: Path) -> None:
    """Older identities stay."""
    file = tmp_path / "names.toml"
    file.write_text(SWEEP)
    plain = file.read_text().replace("as_dict = true\n", "")
    on = read(file)
    file.write_text(plain)
    off = read(file)
    file.write_text(plain.replace("[space]", "as_dict = false\n[space]"))
    assert read(file).identity == off.identity != on.identity
    assert "as_dict" not in off.identity_fields["objective"]


def test_a_surrogate_and_a_batched_function_get_the_dict_too() -> None:
    """Whatever evaluates the variables gets them in the same way."""

    class Screened(Sphere):
        screens = ("rough",)

        def screen(self, word: str) -> Any:
            return Sphere()

    @optitrip.batched(block=4)
    def batches(points: dict[str, Array]) -> Array:
        return points["a b"] ** 2

    space = {"a b": {"normal": [0, 1]}}
    losses = [
        optitrip.search(loss, space, candidates=300, as_dict=True, executor="serial", screen=screen).loss
        for loss, screen in [(Screened(), "rough"), (Sphere(), None), (batches, None)]
    ]
    assert losses[0] == losses[1] == losses[2]


def test_a_wrong_call_says_how_a_dict_is_asked_for() -> None:
    """In the file's words and in Python's."""
    with pytest.raises(optitrip.InputError, match=r"as_dict = true in \[objective\], or as_dict=True in Python"):
        optitrip.search(lambda params: 0.0, {"a": {"normal": [0, 1]}, "b": 1}, candidates=3)
    with pytest.raises(optitrip.InputError, match="all variables by name"):
        optitrip.gradient(lambda params: 0.0, 1.0, as_dict=True)
    with pytest.raises(optitrip.InputError, match="0 is no name of a parameter"):
        optitrip.gradient(lambda params: 0.0, {0: 1.0}, as_dict=True)


def test_a_name_in_the_result_file_is_taken_by_one_variable() -> None:
    """`W.steps` of a gradient of `W` would overwrite that of another variable."""
    with pytest.raises(optitrip.InputError, match="calls the steps of 'W' by this name"):
        optitrip.gradient(by_name, {"W": 1.0, "W.steps": 2.0}, executor="serial")


def test_a_positional_only_loss_works_in_a_sweep_file_and_in_python(tmp_path: Path) -> None:
    """`math.sin` is a loss like any other."""
    file = tmp_path / "sine.toml"
    file.write_text(
        '[objective]\nloss = "math:sin"\n[space]\nangle = { uniform = [0, 6.28] }\n'
        '[method]\nuse = "search"\ncandidates = 40\n'
    )
    found: Any = optitrip.sweep(file, executor="serial")
    assert found.loss == np.sin(found.x["angle"])
    for loss in (np.sin, __import__("math").sin, lambda t, /: np.sin(t)):
        assert next(iter(optitrip.gradient(loss, 0.5, executor="serial").gradient.values())) == pytest.approx(
            np.cos(0.5)
        )


def test_a_name_takes_one_line_where_a_point_is_shown() -> None:
    """Line ends in names could pass for lines of optitrip's."""
    with pytest.raises(optitrip.NoAnswer) as caught:
        optitrip.search(lambda **_: None, {"a\n  b = 7": {"uniform": [0, 1]}}, candidates=2, executor="serial")
    assert "\n  a\\n  b = 7 = 0." in str(caught.value)
