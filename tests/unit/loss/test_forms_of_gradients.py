"""Forms in which a gradient is given: whatever tells which entry is which, and plain words for anything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import optitrip
from optitrip.core.arrays import Array

W, B = np.array([[0.1, 0.5, -1.0], [2.0, 0.3, 0.7]]), np.array([1.0, 2.0])


def loss(W: Array, b: Array) -> float:
    return float(np.sum(W**3) + np.sum(np.sin(b)))


def by_w(W: Array) -> Array:
    return 3 * W**2


class ArrayLike:
    def __init__(self, values: Array) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return np.asarray(self.values, dtype)


def of_dict(p: dict[str, Array]) -> dict[str, Array]:
    return {"b": np.cos(p["b"]), "W": by_w(p["W"])}


GOOD: dict[str, Any] = {
    "dict": lambda W, b: {"W": by_w(W), "b": np.cos(b)},
    "other order": lambda W, b: {"b": np.cos(b), "W": by_w(W)},
    "parameters in another order": lambda b, W: {"b": np.cos(b), "W": by_w(W)},
    "more than needed": lambda W, b: {"W": by_w(W), "b": np.cos(b), "loss": 3.0},
    "tuple": lambda W, b: (by_w(W), np.cos(b)),
    "tuple in the order of its parameters": lambda b, W: (np.cos(b), by_w(W)),
    "list": lambda W, b: [by_w(W).tolist(), np.cos(b).tolist()],
    "by name": lambda **x: {"W": by_w(x["W"]), "b": np.cos(x["b"])},
    "one dict": of_dict,
    "loss and gradient": lambda W, b: (loss(W, b), of_dict({"W": W, "b": b})),
    "not a function": of_dict({"W": W, "b": B}),
    "tuple, not a function": (by_w(W), np.cos(B)),
    "like an array": lambda W, b: (ArrayLike(by_w(W)), ArrayLike(np.cos(b))),
    "objects": lambda W, b: (by_w(W).astype(object), np.cos(b).astype(object)),
    "long double": lambda W, b: (by_w(W).astype(np.longdouble), np.cos(b)),
    "masked": lambda W, b: (np.ma.masked_array(by_w(W), np.zeros((2, 3), bool)), np.cos(b)),
}


@pytest.mark.parametrize("form", GOOD)
def test_a_gradient_in_this_form_is_compared(form: str) -> None:
    """By the order of the gradient's own parameters where it returns a tuple, as jax.grad does."""
    found = optitrip.gradcheck(loss, {"W": W, "b": B}, GOOD[form], executor="serial")
    assert found, repr(found)
    assert found.comparison.judged.sum() == 8


def test_a_loss_of_one_dict_has_a_gradient_of_one_dict_or_of_its_names() -> None:
    gradients: list[Callable[..., Any]] = [of_dict, lambda W, b: (by_w(W), np.cos(b))]
    for gradient in gradients:
        found = optitrip.gradcheck(lambda p: loss(**p), {"W": W, "b": B}, gradient, as_dict=True, executor="serial")
        assert found, repr(found)
    pair = optitrip.gradcheck(lambda p: (loss(**p), of_dict(p)), {"W": W, "b": B}, as_dict=True, executor="serial")
    assert pair, repr(pair)


@pytest.mark.parametrize("kind", [tuple, list])
def test_a_loss_may_return_both_and_have_another_gradient_checked(kind: Any) -> None:
    def both(b: Array) -> Any:
        return kind([float(np.sum(np.sin(b))), np.cos(b)])

    assert optitrip.gradcheck(both, B, executor="serial")
    assert optitrip.gradcheck(both, B, np.cos, executor="serial")
    assert optitrip.gradcheck(both, B, both, executor="serial")
    assert not optitrip.gradcheck(both, B, np.sin, executor="serial")


BAD: dict[str, tuple[Any, str]] = {
    "one is missing": (lambda W, b: {"W": by_w(W)}, "a dict of W, which lacks b"),
    "flat": (lambda W, b: np.zeros(8), r"wanted a dict with an array for each of W, b, or a tuple"),
    "transposed": (lambda W, b: (by_w(W).T, b), r"must have the shape \(2, 3\) of W, had \(3, 2\); is it transposed"),
    "reshaped": (lambda W, b: (by_w(W).ravel(), b), r"had \(6,\); reshape it"),
    "None": (lambda W, b: (by_w(W), None), r"gradient by b must be real numbers of shape \(2,\), was None"),
    "complex": (lambda W, b: (by_w(W) + 0j, b), "was of complex128; a complex one has a method `real`"),
    "text": (lambda W, b: (by_w(W).astype(str), b), "must be real numbers"),
    "booleans": (lambda W, b: (W > 0, b), "was of bool"),
    "a generator": (lambda W, b: (by_w(W), (x for x in b)), "was generator"),
    "ragged": (lambda W, b: ([[1, 2], [3]], b), "gradient by W must be an array"),
    "other parameters": (lambda w, bias: 0, r"takes \(w, bias\), which does not match the variables.*of W, b, or of"),
    "too many parameters": (lambda W, b, data: 0, r"takes \(W, b, data\), which does not match"),
}


@pytest.mark.parametrize("form", BAD)
def test_what_cannot_be_compared_is_named(form: str) -> None:
    """What was returned, and what was wanted."""
    gradient, words = BAD[form]
    with pytest.raises(optitrip.NoAnswer, match=words):
        optitrip.gradcheck(loss, {"W": W, "b": B}, gradient, executor="serial")


def test_a_word_that_names_no_gradient_is_a_mistake() -> None:
    with pytest.raises(optitrip.InputError, match="'autodiff' names none; wanted"):
        optitrip.gradcheck(loss, {"W": W, "b": B}, "autodiff")


def test_an_own_gradient_of_other_parameters_is_named() -> None:
    class Own:
        def __call__(self, b: Array) -> float:
            return float(b.sum())

        def gradient(self, weights: Array, bias: Array) -> Array:
            return weights

    with pytest.raises(optitrip.NoAnswer, match="own `gradient` takes other parameters than the loss"):
        optitrip.gradcheck(Own(), B, executor="serial")
