"""Laws of every linear classifier of images: shapes, bits, accuracies, pictures, and mistakes in its arguments."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from optitrip.core.arrays import Array
from optitrip.errors import InputError
from optitrip.objectives import Hinge, Softmax
from optitrip.objectives.data import images
from optitrip.objectives.linear.classifier import LinearClassifier

CLASSIFIERS = (Softmax, Hinge)


@pytest.fixture(scope="module", params=CLASSIFIERS, ids=lambda classifier: classifier.__name__)
def loss(request: pytest.FixtureRequest) -> LinearClassifier:
    return request.param()


@pytest.fixture(scope="module")
def weights() -> Array:
    return np.random.default_rng(3).standard_normal((64, 10, 65)) * np.geomspace(1e-4, 3, 64)[:, None, None]


def test_batch_and_plain_call_agree(loss: LinearClassifier, weights: Array) -> None:
    """Within 64 eps max(|f|, 1), the bound of the ladder's own check."""
    bound = 64 * np.finfo(float).eps * np.maximum(loss.losses(weights), 1)
    plain = np.array([loss(W) for W in weights])
    assert (np.abs(loss.losses(weights) - plain) <= bound).all()


def test_the_bits_of_a_candidate_do_not_depend_on_its_neighbours(loss: LinearClassifier, weights: Array) -> None:
    """In its place within a full block, a candidate has the same loss whatever stands in the other places."""
    whole = loss.losses(weights)
    for place in (0, 1, 17, 63):
        copies = np.repeat(weights[place : place + 1], 64, axis=0)
        assert loss.losses(copies)[place].tobytes() == whole[place].tobytes()


def test_float32_is_near_float64(loss: LinearClassifier, weights: Array) -> None:
    """Within the tolerance that it states; the losses are float64 either way."""
    single = type(loss)(precision="float32")
    assert single.x.dtype == np.float32
    assert single.losses(weights).dtype == loss.losses(weights).dtype == np.float64
    assert single.tolerance is not None
    np.testing.assert_allclose(single.losses(weights), loss.losses(weights), rtol=single.tolerance)


def test_the_gradient_of_the_penalty_is_linear(loss: LinearClassifier, weights: Array) -> None:
    """2 l2 W is added to that of the images, bias included."""
    penalised = type(loss)(l2=0.3)
    np.testing.assert_allclose(
        penalised.gradient(weights[40]), loss.gradient(weights[40]) + 0.6 * weights[40], rtol=1e-12, atol=1e-14
    )


def test_the_report_counts_right_answers(loss: LinearClassifier, weights: Array) -> None:
    """Accuracies equal a plain count over the images of the file."""
    data = images.digits()
    mean = data.train_pixels.mean(axis=0)

    def right(pixels: Array, labels: Array) -> float:
        scores = [(weights[50] @ np.append(image - mean, 1.0)).argmax() for image in pixels]
        return float(np.mean(np.array(scores) == labels))

    assert loss.report(weights[50]) == {
        "train_accuracy": right(data.train_pixels, data.train_labels),
        "test_accuracy": right(data.test_pixels, data.test_labels),
    }


def test_the_order_takes_all_classes_of_a_feature_together(loss: LinearClassifier) -> None:
    """Features slowest, classes fastest: a permutation of all coordinates, as flat places in W."""
    order = loss.order()
    assert order.dtype == np.int64
    assert order.tolist() == [c * 65 + j for j in range(65) for c in range(10)]


@pytest.mark.parametrize("bias", [True, False])
def test_images_are_the_rows_and_the_biases_one_more(loss: LinearClassifier, bias: bool, weights: Array) -> None:
    """One picture a class, in the order of the classes; nothing in it comes from the column of ones."""
    W = weights[40] if bias else weights[40, :, :64]
    pictures = type(loss)(bias=bias).images(W)
    biases = pictures.pop("bias", None)
    assert list(pictures) == list(images.digits().pictures(W[:, :64]))
    assert len(pictures) == 10
    assert (None if biases is None else biases.tolist()) == ([W[:, 64].tolist()] if bias else None)
    for row, picture in zip(W, pictures.values(), strict=True):
        assert picture.dtype == np.float64
        assert picture.tolist() == row[:64].reshape(8, 8).tolist()


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_options_change_the_features(classifier: type[LinearClassifier]) -> None:
    """Without a bias there is no column of ones; without centring the pixels stay as they are."""
    plain = classifier(bias=False, center=False)
    assert plain.x.shape == (1437, 64)
    assert plain.order().shape == (640,)
    assert sorted(map(tuple, plain.x.tolist())) == sorted(
        map(tuple, images.digits().train_pixels.astype(float).tolist())
    )


def test_it_travels_and_stays_the_same(loss: LinearClassifier, weights: Array) -> None:
    """Pickled and back, every bit of every loss is the same; the training images are in the pickle once."""
    pickled = pickle.dumps(loss)
    assert pickle.loads(pickled).losses(weights).tobytes() == loss.losses(weights).tobytes()
    assert len(pickled) < loss.x.nbytes + images.digits().train_pixels.nbytes / 2


def test_all_classifiers_state_the_same_data(loss: LinearClassifier) -> None:
    """The digest is that of the images, whatever is done with them."""
    assert loss.digest() == type(loss)(l2=1.0, precision="float32").digest() == images.digits().digest()


def test_weights_of_another_shape_are_refused(loss: LinearClassifier) -> None:
    """With both shapes and where they come from."""
    W = np.zeros((10, 64))
    for step in (loss, loss.gradient, loss.report, loss.images):
        with pytest.raises(ValueError, match=r"shape \(10, 64\), wanted \(10, 65\).*column of ones"):
            step(W)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": "cifar"}, "did you mean cifar10"),
        ({"data": "digits", "path": "x"}, "take no path"),
        ({"precision": "float16"}, "float16"),
        ({"l2": -1.0}, "l2 was -1.0"),
        ({"data": "cifar10", "path": "/nowhere"}, r"/nowhere/data_batch_1.bin: no such file.*cifar.html"),
    ],
)
def test_wrong_arguments_are_input_errors(
    classifier: type[LinearClassifier], arguments: dict[str, object], message: str
) -> None:
    """The message names the wrong value and what was wanted."""
    with pytest.raises(InputError, match=message):
        classifier(**arguments)  # pyright: ignore[reportArgumentType]
