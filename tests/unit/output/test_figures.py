"""Pictures: valid, drawn from the numbers, and never the reason for a failure."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from matplotlib.image import imread

import optitrip
from examples import LOSSES, search
from optitrip.core.arrays import Array
from optitrip.loss.objective import Objective
from optitrip.methods.gradient.answer import gradient_png
from optitrip.methods.search.picture import STEPS, losses_png, staircase
from optitrip.objectives import Softmax
from optitrip.output.outcome import Answer, Draw
from optitrip.output.pictures import centred, even_scale, images_png, new_figure, set_value_axis


def pixels(png: bytes) -> Array:
    """Return the pixels of a PNG, (height, width, 4) in 0 to 1."""
    assert png.startswith(b"\x89PNG")
    return imread(io.BytesIO(png), format="png")


def count(image: Array, *colour: float) -> int:
    """Return how many pixels have this colour, to a hundredth."""
    return int((np.abs(image[:, :, :3] - colour).max(axis=2) < 0.01).sum())


RED, BLUE = (0.404, 0.0, 0.122), (0.020, 0.188, 0.380)
"""The ends of the map from negative, blue, to positive, red."""


def test_a_row_of_images_shows_signs_on_one_scale() -> None:
    """The largest entry is as red as it gets, its negative as blue; half of it is neither."""
    half = np.zeros((8, 8))
    half[2:5, 2:5] = 0.5
    one = np.zeros((8, 8))
    one[2:5, 2:5] = 1.0
    image = pixels(images_png({"half": half, "one": one, "minus": -one}, "title"))
    assert count(image, *RED) > 500
    assert count(image, *RED) == pytest.approx(count(image, *BLUE), rel=0.1)
    without = pixels(images_png({"half": half, "minus": -one}, "title"))
    assert count(without, *RED) == 0


def test_colours_have_one_scale_around_grey() -> None:
    """Zero is a middle grey, the largest magnitude of all images is full colour, and a gap is white."""
    image = np.linspace(-3, 5, 32 * 32 * 3).reshape(32, 32, 3)
    assert centred(np.array([-5.0, 0.0, 2.5, 5.0, np.nan]), 5.0).tolist() == [0, 0.5, 0.75, 1, 1]
    pixels(images_png({"a": image, "b": np.full((32, 32, 3), np.nan)}, "title"))
    pale = pixels(images_png({"a": image / 100, "b": image}, "title"))
    assert count(pale[:, : pale.shape[1] // 3], 0.5, 0.5, 0.5) > 5_000  # beside the other, it is nearly zero


def test_few_steps_of_many_are_drawn() -> None:
    """A loss that always falls is drawn as a staircase of one step for each column of a fine picture; the first and the
    last of a column are right."""
    few = optitrip.search(lambda x: -x, {"x": {"uniform": [0, 1]}}, candidates=10, executor="serial").result
    index, loss = staircase(few)
    assert index.tolist() == [*few.incumbent_index.tolist(), 9]
    assert loss.tolist() == [*few.incumbent_loss.tolist(), few.incumbent_loss[-1]]
    falling = np.arange(100_000)
    many = replace(few, items=100_000, incumbent_index=falling, incumbent_loss=-falling.astype(float))
    index, loss = staircase(many)
    assert len(index) == STEPS + 2
    assert (index[0], index[-1]) == (0, 99_999)
    assert (loss == -index).all()
    assert np.diff(index).max() <= 100_000 / STEPS


def test_an_image_of_one_row_is_drawn_as_bars() -> None:
    """The biases of a classifier stand below its weights, each under its class; alone they are an image."""
    weights, blue = {"cat": np.eye(4), "dog": -np.eye(4)}, (0x2F / 255, 0x79 / 255, 0xB5 / 255)
    without = pixels(images_png(weights, "title"))
    below = pixels(images_png({**weights, "bias": np.array([[1, -2.0]])}, "title"))
    assert below.shape[0] > without.shape[0] + 100
    assert count(below, *blue) > 1_000 > count(without, *blue)
    pixels(images_png({"bias": np.array([[1, np.nan]])}, "title"))


AXES: dict[str, tuple[list[float], bool, str, int]] = {
    "within a decade": ([1.0, 2.0, 9.0], False, "linear", 0),
    "over decades": ([1e-8, 1.0, 1e8], False, "log", 0),
    "both signs over decades": ([-1e6, -1.0, 0.0, 1.0, 1e6], False, "symlog", 0),
    "all equal": ([3.0] * 5, False, "linear", 0),
    "one huge outlier": ([*np.linspace(-1, 1, 999).tolist(), 1e12], False, "linear", 1),
    "one tiny outlier of a maximum": ([*np.linspace(-1, 1, 999).tolist(), -1e12], True, "linear", 1),
    "near the end of float64": ([-1.7e308, 1.7e308], False, "linear", 0),
}


@pytest.mark.parametrize("case", AXES)
def test_the_axis_fits_the_losses(case: str) -> None:
    """Logarithmic where the losses ask for it; an outlier far from the best is counted, and the best is inside."""
    values, maximize, scale, beyond = AXES[case]
    axes = new_figure(4, 3).add_subplot()
    with np.errstate(all="ignore"):
        found = set_value_axis(axes, np.array(values), best_is_largest=maximize)
    assert axes.get_yscale() == scale
    if max(values) < 1e300:
        low, high = axes.get_ylim()
        assert low < (max(values) if maximize else min(values)) < high
        assert found == beyond


def test_zero_is_in_the_middle_of_a_range() -> None:
    """However lopsided the values; without any, it is from -1 to 1."""
    assert even_scale(np.array([-1.0, 3.0, np.nan])) == {"vmin": -3.0, "vmax": 3.0}
    assert even_scale(np.array([np.nan])) == even_scale(np.zeros(3)) == {"vmin": -1.0, "vmax": 1.0}


GRADIENTS: dict[str, dict[str, Array]] = {
    "scalars": {"a": np.array(1.0), "b": np.array(-2.0)},
    "vector": {"x": np.array([1.0, np.nan, -3.0])},
    "long vector": {"x": np.linspace(-1, 1, 1_000)},
    "matrix": {"W": np.linspace(-1, 1, 60).reshape(6, 10)},
    "cube": {"W": np.linspace(-1, 1, 60).reshape(3, 4, 5)},
    "all missing": {"W": np.full((3, 4), np.nan), "a": np.array(np.nan)},
    "mixed": {"W": np.ones((2, 3)), "b": np.zeros(3), "a": np.array(4.0)},
    "many": {f"x{n}": np.array([float(n)]) for n in range(40)},
}


@pytest.mark.parametrize("case", GRADIENTS)
def test_any_gradient_has_a_picture(case: str) -> None:
    """Arrays of any number of axes, scalars, gaps and many variables."""
    assert pixels(gradient_png(GRADIENTS[case], {}, case)).shape[2] == 4


def test_a_heat_map_shows_the_sign() -> None:
    """A positive block is red, a negative one blue, and what is missing white."""
    table = np.zeros((4, 4))
    table[0], table[1] = 1.0, -1.0
    image = pixels(gradient_png({"W": table}, {}, "heat"))
    assert count(image, *RED) > 5_000
    assert count(image, *BLUE) > 5_000


@pytest.mark.parametrize("maximize", [False, True])
def test_the_line_of_a_search_goes_to_its_best(maximize: bool) -> None:
    """Downwards for the smallest loss, upwards for the largest."""
    one = search(200)
    one = type(one)(one.points, 200, 4, 50, maximize=maximize)
    result = one.result(one.evaluate(LOSSES["troubled"], range(200)))
    kept = result.loss[np.isfinite(result.loss)]
    assert result.best_loss[0] == result.incumbent_loss[-1]
    assert (result.best_loss[0] >= kept).all() if maximize else (result.best_loss[0] <= kept).all()
    assert (np.sign(np.diff(result.incumbent_loss)) == (1 if maximize else -1)).all()
    pixels(losses_png(result, "search"))


def test_weights_of_a_classifier_are_images() -> None:
    """Softmax shows a row of its W without the bias, in the shape of the pictures, and all biases in one more."""
    W = np.arange(650.0).reshape(10, 65)
    images = Objective(Softmax()).images({"W": W})
    assert list(images) == [*(str(digit) for digit in range(10)), "bias"]
    assert images["bias"].tolist() == [W[:, 64].tolist()]
    assert list(Objective(Softmax(bias=False)).images({"W": W[:, :64]})) == [str(digit) for digit in range(10)]
    assert images["3"].tolist() == W[3, :64].reshape(8, 8).tolist()


def test_html_escapes_the_text() -> None:
    """Names may hold anything; a picture that cannot be drawn is left out."""

    class Shown:
        def __repr__(self) -> str:
            return "<lambda> & x"

        def reasons(self) -> list[str]:
            return ["1 raised: <b>"]

        def pictures(self) -> list[Draw]:
            return [lambda: b"png", lambda: b"1"[9:10] or {}["no picture"]]

    text = Answer._repr_html_(cast("Any", Shown()))
    assert "&lt;lambda&gt; &amp; x\n1 raised: &lt;b&gt;</pre>" in text
    assert text.count("<img") == 1
    assert '<img src="data:image/png;base64,cG5n">' in text


def test_an_objective_without_images_has_none() -> None:
    """A picture of parameters is the objective's to offer."""
    assert Objective(lambda x: 0.0).images({"x": np.zeros(3)}) == {}
