"""The built-in softmax loss against independent answers: a plain loop, ln 10, finite differences."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from optitrip.errors import InputError
from optitrip.objective import Objective
from optitrip.objectives import Softmax, images
from optitrip.part import Array


@pytest.fixture(scope="module")
def digits() -> Softmax:
    return Softmax()


@pytest.fixture(scope="module")
def weights() -> Array:
    return np.random.default_rng(3).standard_normal((64, 10, 65)) * np.geomspace(1e-4, 3, 64)[:, None, None]


def plain_loop(W: Array, pixels: Array, labels: Array, mean: Array, l2: float) -> float:
    """The textbook's loss, image by image, in float64; the pixels come from the file and in its order."""
    total = 0.0
    for image, label in zip(pixels, labels, strict=True):
        scores = W @ np.append(image - mean, 1.0)
        scores -= scores.max()
        total += np.log(np.exp(scores).sum()) - scores[label]
    return total / len(pixels) + l2 * float((W**2).sum())


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_losses_equal_a_plain_loop(l2: float, weights: Array) -> None:
    """To 1e-12 relative, over weights from tiny to large, with and without the penalty."""
    data = images.digits()
    mean = data.train_pixels.mean(axis=0)
    expected = [plain_loop(W, data.train_pixels, data.train_labels, mean, l2) for W in weights[::9]]
    np.testing.assert_allclose(Softmax(l2=l2).losses(weights)[::9], expected, rtol=1e-12)


def test_without_weights_the_loss_is_ln_10(digits: Softmax) -> None:
    """All classes are as likely (CS231n's sanity check)."""
    assert digits(np.zeros((10, 65))) == pytest.approx(np.log(10), rel=1e-15)


def test_batch_and_plain_call_agree(digits: Softmax, weights: Array) -> None:
    """Within 64 eps max(|f|, 1), the bound of the ladder's own check."""
    bound = 64 * np.finfo(float).eps * np.maximum(digits.losses(weights), 1)
    plain = np.array([digits(W) for W in weights])
    assert (np.abs(digits.losses(weights) - plain) <= bound).all()


def test_the_bits_of_a_candidate_do_not_depend_on_its_neighbours(digits: Softmax, weights: Array) -> None:
    """In its place within a full block, a candidate has the same loss whatever stands in the other places."""
    whole = digits.losses(weights)
    for place in (0, 1, 17, 63):
        copies = np.repeat(weights[place : place + 1], 64, axis=0)
        assert digits.losses(copies)[place].tobytes() == whole[place].tobytes()


def test_float32_is_near_float64(digits: Softmax, weights: Array) -> None:
    """Within the tolerance that it states."""
    single = Softmax(precision="float32")
    assert single.x.dtype == np.float32
    assert single.tolerance is not None
    np.testing.assert_allclose(single.losses(weights), digits.losses(weights), rtol=single.tolerance)


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_the_gradient_is_that_of_finite_differences(l2: float, weights: Array) -> None:
    """Central differences in float64 at the step eps^(1/3) agree to their own error of about 1e-9."""
    loss = Softmax(l2=l2)
    W, h = weights[40], 6e-6
    analytic = Objective(loss).gradient({"W": W[np.newaxis]})["W"]
    for c, j in [(0, 0), (3, 20), (9, 64), (5, 35)]:
        step = np.zeros_like(W)
        step[c, j] = h
        numeric = (loss(W + step) - loss(W - step)) / (2 * h)
        assert analytic[c, j] == pytest.approx(numeric, abs=1e-8)


def test_the_report_counts_right_answers(digits: Softmax, weights: Array) -> None:
    """Accuracies equal a plain count over the images of the file."""
    data = images.digits()
    mean = data.train_pixels.mean(axis=0)

    def right(pixels: Array, labels: Array) -> float:
        scores = [(weights[50] @ np.append(image - mean, 1.0)).argmax() for image in pixels]
        return float(np.mean(np.array(scores) == labels))

    assert digits.report(weights[50]) == {
        "train_accuracy": right(data.train_pixels, data.train_labels),
        "test_accuracy": right(data.test_pixels, data.test_labels),
    }


def test_options_change_the_features() -> None:
    """Without a bias there is no column of ones; without centring the pixels stay as they are."""
    plain = Softmax(bias=False, center=False)
    assert plain.x.shape == (1437, 64)
    assert sorted(map(tuple, plain.x.tolist())) == sorted(
        map(tuple, images.digits().train_pixels.astype(float).tolist())
    )


def test_it_travels_and_stays_the_same(digits: Softmax, weights: Array) -> None:
    """Pickled and back, every bit of every loss is the same."""
    assert pickle.loads(pickle.dumps(digits)).losses(weights).tobytes() == digits.losses(weights).tobytes()


def test_weights_of_another_shape_are_refused(digits: Softmax) -> None:
    """With both shapes and where they come from."""
    with pytest.raises(ValueError, match=r"shape \(10, 64\), wanted \(10, 65\).*column of ones"):
        digits(np.zeros((10, 64)))


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
def test_wrong_arguments_are_input_errors(arguments: dict[str, object], message: str) -> None:
    """What was given, what was wanted."""
    with pytest.raises(InputError, match=message):
        Softmax(**arguments)  # pyright: ignore[reportArgumentType]


def write_cifar10(folder: Path, records: int) -> Array:
    """A small CIFAR-10 in the official layout; returns all records in order."""
    rng = np.random.default_rng(4)
    table = rng.integers(0, 256, (6 * records, 3_073), dtype=np.uint8)
    table[:, 0] %= 10
    for number in range(5):
        table[number * records : (number + 1) * records].tofile(folder / f"data_batch_{number + 1}.bin")
    table[5 * records :].tofile(folder / "test_batch.bin")
    return table


def test_cifar10_is_read_as_it_is_laid_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Label byte first, five training files in order, one test file."""
    monkeypatch.setattr(images, "CIFAR10_RECORDS", 20)
    table = write_cifar10(tmp_path, 20)
    data = images.load("cifar10", str(tmp_path))
    assert (data.train_pixels == table[:100, 1:]).all()
    assert (data.train_labels == table[:100, 0]).all()
    assert (data.test_pixels == table[100:, 1:]).all()
    assert (data.test_labels == table[100:, 0]).all()
    W = np.random.default_rng(5).standard_normal((64, 10, 3_073)) * 1e-4
    mean = data.train_pixels.mean(axis=0)
    expected = plain_loop(W[9], data.train_pixels, data.train_labels, mean, 0.0)
    assert Softmax("cifar10", str(tmp_path)).losses(W)[9] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("harm", ["missing", "truncated", "labels"])
def test_damaged_cifar10_is_told_with_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    """The file, what is wrong with it, and the page of the data set."""
    monkeypatch.setattr(images, "CIFAR10_RECORDS", 20)
    write_cifar10(tmp_path, 20)
    file = tmp_path / "data_batch_3.bin"
    if harm == "missing":
        file.unlink()
    elif harm == "truncated":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        file.write_bytes(b"\xff" * file.stat().st_size)
    wanted = {"missing": "no such file", "truncated": "truncated", "labels": "labels above 9"}[harm]
    with pytest.raises(InputError, match=rf"data_batch_3.bin.*{wanted}.*cifar.html"):
        images.load("cifar10", str(tmp_path))


def test_the_digest_tells_data_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One changed pixel is other data."""
    monkeypatch.setattr(images, "CIFAR10_RECORDS", 20)
    table = write_cifar10(tmp_path, 20)
    before = images.load("cifar10", str(tmp_path)).digest()
    assert images.load("cifar10", str(tmp_path)).digest() == before
    table[119, 3_072] ^= 1
    table[100:].tofile(tmp_path / "test_batch.bin")
    assert images.load("cifar10", str(tmp_path)).digest() != before
