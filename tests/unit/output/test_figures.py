"""Pictures: valid, drawn from the numbers, and never the reason for a failure."""

from __future__ import annotations

import io
from typing import Any, cast

import numpy as np
import pytest
from matplotlib.image import imread

from examples import LOSSES, search
from optitrip.core.arrays import Array
from optitrip.loss.objective import Objective
from optitrip.methods.gradient.answer import gradient_png
from optitrip.methods.search.picture import losses_png
from optitrip.objectives import Softmax
from optitrip.output.formats import even_scale, images_png, rescaled
from optitrip.output.outcome import Answer, Draw


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


def test_colours_are_stretched_image_by_image() -> None:
    """From the smallest entry to the largest; an image without contrast or with gaps is no error."""
    image = np.linspace(-3, 5, 32 * 32 * 3).reshape(32, 32, 3)
    assert (rescaled(image).min(), rescaled(image).max()) == (0, 1)
    assert np.isfinite(rescaled(np.full((2, 2, 3), 7.0))).all()
    gaps = image.copy()
    gaps[0, 0] = np.nan
    assert rescaled(gaps)[0, 0].tolist() == [1, 1, 1]
    pixels(images_png({"a": image, "b": np.full((32, 32, 3), np.nan)}, "title"))


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
    """Softmax shows a row of its W without the bias, in the shape of the pictures."""
    W = np.arange(650.0).reshape(10, 65)
    images = Objective(Softmax()).images({"W": W})
    assert list(images) == [str(digit) for digit in range(10)]
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
