"""Sobol' indices by Saltelli's design: known answers, the design itself, failures, and how sure they are."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import optitrip
from optitrip.core.arrays import Array
from optitrip.errors import InputError, NoAnswer
from optitrip.methods.sensitivity.answer import SensitivityAnswer
from optitrip.methods.sensitivity.design import Saltelli
from optitrip.methods.sensitivity.indices import Indices, indices
from optitrip.objectives import Ishigami, SobolG
from optitrip.space.variables import Space

ANGLE = {"uniform": [-math.pi, math.pi]}
KNOWN: dict[str, tuple[Any, dict[str, Any]]] = {
    "ishigami": (Ishigami(), dict.fromkeys(("x1", "x2", "x3"), ANGLE)),
    "g": (SobolG(), {name: {"uniform": [0, 1]} for name in SobolG().names}),
}
"""Functions whose indices are known, and their spaces."""


def answer(loss: Any, space: dict[str, Any], rows: int, **options: Any) -> SensitivityAnswer:
    return optitrip.sensitivity(loss, space, rows=rows, executor="serial", **options)


def design_of(space: dict[str, Any], **options: Any) -> Saltelli:
    return Saltelli(Space.parse(space), 3, **options)


@pytest.mark.parametrize("sampler", ["random", "halton", "sobol", "latin_hypercube"])
@pytest.mark.parametrize("case", KNOWN)
def test_indices_are_the_analytic_ones(case: str, sampler: str) -> None:
    """Within three standard errors, all of them."""
    loss, space = KNOWN[case]
    found = answer(loss, space, 4_000, sampler=sampler).variables
    for name, (first, total) in loss.indices().items():
        assert abs(found[name].first - first) < 3 * found[name].first_error
        assert abs(found[name].total - total) < 3 * found[name].total_error


@pytest.mark.daily
@pytest.mark.parametrize("case", KNOWN)
def test_the_intervals_are_what_they_say(case: str) -> None:
    """Of 95 % intervals, nine tenths or more hold the known value, and errors are as large as the deviation."""
    loss, space = KNOWN[case]
    known = np.array([loss.indices()[name] for name in sorted(space)])
    found = [row_losses(Saltelli(Space.parse(space), seed), loss, 256) for seed in range(300)]
    each = [indices(losses) for losses in found]
    values = np.array([[one.first, one.total] for one in each]).transpose(0, 2, 1)
    errors = np.array([[one.first_error, one.total_error] for one in each]).transpose(0, 2, 1)
    inside = (np.abs(values - known) < 1.96 * errors).mean(axis=0)
    assert inside.min() > 0.88
    assert inside.mean() > 0.92
    np.testing.assert_allclose(errors.mean(axis=0), values.std(axis=0), rtol=0.15)


def row_losses(design: Saltelli, loss: Any, rows: int) -> Array:
    return loss.losses(**design.values(range(rows * design.width))).reshape(rows, design.width)


def test_a_plain_loop_gives_the_same() -> None:
    """The formulas one number after the other, and their errors by a bootstrap."""
    losses = row_losses(design_of(KNOWN["ishigami"][1]), Ishigami(), 400)
    found = indices(losses)
    a, b, *moved = losses.T.tolist()
    mean = math.fsum(a + b) / 800
    variance = math.fsum((f - mean) ** 2 for f in a + b) / 800
    for i, ab in enumerate(moved):
        first = math.fsum((fb - mean) * (fm - fa) for fa, fb, fm in zip(a, b, ab, strict=True)) / 400 / variance
        total = math.fsum((fa - fm) ** 2 for fa, fm in zip(a, ab, strict=True)) / 800 / variance
        assert (found.first[i], found.total[i]) == pytest.approx((first, total), rel=1e-10)
    random = np.random.default_rng(1)
    drawn = [indices(losses[random.integers(0, 400, 400)]) for _ in range(1_000)]
    np.testing.assert_allclose(found.first_error, np.std([one.first for one in drawn], axis=0), rtol=0.12)
    np.testing.assert_allclose(found.total_error, np.std([one.total for one in drawn], axis=0), rtol=0.12)


SPACE: dict[str, Any] = {"w": {"shape": [2, 2], "normal": [0, 1]}, "n": {"integer": [1, 9]}, "c": 2.5, "a": ANGLE}


@pytest.mark.parametrize("sampler", ["random", "halton", "sobol", "latin_hypercube"])
def test_points_of_a_row_differ_in_one_variable(sampler: str) -> None:
    """A and B in all; A with a variable from B in that one, an array as a whole; constants stay."""
    design = design_of(SPACE, sampler=sampler)
    assert (design.factors, design.width) == (["a", "n", "w"], 5)
    u = design.unit(design.space.sizes, range(50))
    for row in range(0, 50, 5):
        for number, name in enumerate(design.factors):
            assert (u[name][row] != u[name][row + 1]).all()
            for place in range(3):
                np.testing.assert_array_equal(u[name][row + 2 + place], u[name][row + (place == number)])
    assert design.values(range(50))["w"].shape == (50, 2, 2)
    assert set(design.values(range(50))["c"].tolist()) == {2.5}
    assert [design.title(5 + place) for place in (0, 1, 2, 4)] == [
        "row 1, A",
        "row 1, B",
        "row 1, A with a from B",
        "row 1, A with w from B",
    ]


def test_the_order_of_variables_does_not_matter() -> None:
    """Items are the same, so that a file in another order is the same sweep."""
    turned = design_of(dict(reversed(SPACE.items())))
    for name, column in design_of(SPACE).values(range(30)).items():
        np.testing.assert_array_equal(column, turned.values(range(30))[name])


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_neither_scale_nor_place_of_the_loss_matters(scale: float) -> None:
    """Shares are those of any multiple of the loss; beside a large constant they lose only its digits."""
    losses = row_losses(design_of(KNOWN["g"][1]), SobolG(), 100)
    plain, scaled, moved = indices(losses), indices(losses * scale), indices(losses + 1e6)
    for name in ("first", "total", "first_error", "total_error"):
        np.testing.assert_allclose(getattr(scaled, name), getattr(plain, name), rtol=1e-12)
        np.testing.assert_allclose(getattr(moved, name), getattr(plain, name), atol=1e-8)
    assert scaled.mean == pytest.approx(plain.mean * scale)


def test_a_variable_that_the_loss_ignores_has_none() -> None:
    """Exactly 0, with an error of 0; one that is all of it has 1 in total, and nearly so alone."""
    found = answer(lambda x, y: x, {"x": ANGLE, "y": ANGLE}, 500).variables
    assert list(found) == ["x", "y"]
    assert found["y"] == (0, 0, 0, 0)
    assert abs(found["x"].first - 1) < 3 * found["x"].first_error
    assert abs(found["x"].total - 1) < 3 * found["x"].total_error


def test_a_row_with_a_failure_is_left_out_and_counted() -> None:
    """The indices are those of the other rows alone."""

    def loss(x: float, y: float) -> float:
        if x > 3:
            raise ValueError("x is large")
        return math.nan if y > 3 else x + 2 * y

    space = {"x": ANGLE, "y": ANGLE}
    found = answer(loss, space, 200)
    points = Saltelli(Space.parse(space), 0).values(range(800))
    bad = ((points["x"] > 3) | (points["y"] > 3)).reshape(200, 4).any(axis=1)
    losses = (points["x"] + 2 * points["y"]).reshape(200, 4)
    assert (found.indices.rows, found.result.left_out) == (200 - bad.sum(), bad.sum())
    assert 0 < bad.sum() < 100
    same(found.indices, indices(losses[~bad]))
    assert sum(found.failures.values()) == ((points["x"] > 3) | (points["y"] > 3)).sum()
    assert ("left out", f"{bad.sum()} rows, in which a point failed") in found.rows()
    table = found.points()
    assert len(table["status"].tolist()) == 800
    assert np.isnan(np.asarray(table["loss"])).sum() == sum(found.failures.values())


def same(one: Indices, other: Indices) -> None:
    for name in ("first", "total", "first_error", "total_error"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.daily
def test_pictures_and_frames() -> None:
    """Of one variable, and of more than are drawn."""
    for count in (1, 30):
        space = {f"x{n}": {"normal": [0, 1]} for n in range(count)}
        found = answer(lambda **x: sum(x.values()), space, 9)
        assert found.frame().shape == (count, 5)
        assert found.picture()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda x: 3.0, "the loss is 3 at every point, so that no variable explains any variance"),
        (lambda x: math.nan, "0 of 9 rows are complete: 27 nan"),
    ],
)
def test_no_answer(loss: Callable[[float], float], message: str) -> None:
    """Without a variance, or without rows."""
    with pytest.raises(NoAnswer, match=message):
        answer(loss, {"x": ANGLE}, 9)


@pytest.mark.parametrize(
    ("space", "options", "message"),
    [
        ({"x": 3}, {}, "holds constants only"),
        ({"x": ANGLE}, {"rows": 1}, "rows"),
        ({"x": ANGLE}, {"rows": 2**30}, "was 1,073,741,824, which is 3,221,225,472 points; at most 89,478,485 fit"),
        ({"x": {"shape": [21], **ANGLE}}, {"sampler": "halton"}, "for 42 numbers .* draws two points at a time"),
        ({"x": ANGLE}, {"sampler": "haltom"}, "was 'haltom'"),
    ],
)
def test_a_mistake_is_told_at_the_door(space: dict[str, Any], options: dict[str, Any], message: str) -> None:
    """Before anything is evaluated."""
    with pytest.raises(InputError, match=message):
        answer(lambda x: x, space, **{"rows": 9, **options})


def test_what_the_answer_shows() -> None:
    """The table, fields for JSON, metrics and the file agree; lines fit on 80 columns whatever the names."""
    loss, space = KNOWN["ishigami"]
    long = "x" * 100
    space = {**space, long: {"normal": [0, 1]}}
    found = answer(lambda **x: loss(x["x1"], x["x2"], x["x3"]), space, 64)
    assert list(found.variables)[-1] == long
    fields = found.fields(None)["sensitivity"]
    assert (fields["rows"], fields["left_out"], list(fields["variables"])) == (64, 0, list(found.variables))
    assert found.metrics()["total/x1"] == fields["variables"]["x1"]["total"] == found.variables["x1"].total
    files = dict(found.files("one"))
    rows = list(csv.DictReader(io.StringIO(files["sensitivity.csv"]().decode())))
    assert [(row["variable"], float(row["total_error"])) for row in rows] == [
        (name, one.total_error) for name, one in found.variables.items()
    ]
    heads, cells = found.table()
    assert heads == ["variable", "first", "error", "total", "error"]
    assert sum(max(map(len, column)) for column in zip(heads, *cells, strict=True)) + 3 * 4 <= 80
    assert max(map(len, repr(found).splitlines()[:1])) <= 80


def test_a_random_loss_has_the_same_seed_in_all_points() -> None:
    """So that a variable that it ignores has no share; without a seed it has that of the noise. The answer says so."""
    found = answer(lambda x, y, seed: x + seed / 2**31, {"x": ANGLE, "y": ANGLE}, 50)
    assert found.variables["y"] == (0, 0, 0, 0)
    assert "all points have the same seed" in found.how_sure()[-1]
    random = np.random.default_rng(2)
    noisy = answer(lambda x, y: x + random.normal(), {"x": ANGLE, "y": ANGLE}, 400, deterministic=False)
    share = 1 / (1 + math.pi**2 / 3)
    assert abs(noisy.variables["y"].total - share) < 3 * noisy.variables["y"].total_error
    assert "its noise counts" in noisy.how_sure()[-1]
