"""A loss together with a gradient that is given apart from it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.errors import InputError
from optitrip.loss.gradients import is_pair, named, parameter_order
from optitrip.loss.loading import find_loss
from optitrip.loss.passing import mismatch, pass_values, signature_of
from optitrip.runtime.interrupts import no_failures

AUTOGRAD = "autograd"
"""Word for the gradient that PyTorch derives from the loss itself."""


def given_gradient(given: Any, folder: Path) -> Any:
    """Return the gradient that "module:name" names, "autograd", or anything but text as it is. Raises InputError for
    another word, or a name that does not exist."""
    if not isinstance(given, str) or given == AUTOGRAD:
        return given
    if ":" not in given:
        raise InputError(f'gradient: {given!r} names none; wanted "module:name", a function, or "{AUTOGRAD}"')
    return find_loss(given, folder)


class WithGradient:
    """A loss with another gradient than its own; everything else is the loss's.

    Args:
        loss: the loss; if `gradient` is None, one that returns the loss and the gradient, as a pair.
        gradient: function of the same parameters, the gradient itself, "autograd" for PyTorch's, or None.
    """

    def __init__(self, loss: Any, gradient: Any) -> None:
        self._loss, self._gradient = loss, gradient
        if (signature := signature_of(loss)) is not None:
            self.__signature__ = signature
        self.__qualname__ = getattr(loss, "__qualname__", type(loss).__name__)
        self.__module__ = getattr(loss, "__module__", type(loss).__module__)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or self._gradient is None:
            raise AttributeError(name)
        return getattr(self._loss, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        returned = self._loss(*args, **kwargs)
        return returned[0] if is_pair(returned) else returned

    def gradient(self, *in_one_dict: Any, **by_name: Any) -> Any:
        """Return the gradient at a point, which is given by name, or, if the loss takes one dict, in one dict."""
        as_dict = bool(in_one_dict)
        point = in_one_dict[0] if as_dict else by_name
        if self._gradient is None:
            return pass_values(self._loss, point, as_dict=as_dict)[1]
        if isinstance(self._gradient, str):
            return autograd(self._loss, point, as_dict=as_dict)
        if not callable(self._gradient):
            return self._gradient
        way = way_to_pass(self._gradient, list(point), as_dict=as_dict)
        return named(pass_values(self._gradient, point, as_dict=way), parameter_order(self._gradient, list(point)))


def way_to_pass(gradient: Callable[..., Any], names: Sequence[str], *, as_dict: bool) -> bool:
    """Return whether a gradient takes all variables in one dict: as its loss does, or else the other way. Raises
    TypeError if it takes them in neither."""
    if not (why := mismatch(gradient, names, as_dict=as_dict)):
        return as_dict
    if (as_dict or len(names) > 1) and not mismatch(gradient, names, as_dict=not as_dict):
        return not as_dict
    raise TypeError(
        f"the gradient takes {signature_of(gradient)}, which does not match the variables: {why}; wanted a function of "
        f"{', '.join(names)}, or of one dict with them"
    )


def autograd(loss: Callable[..., Any], values: Mapping[str, Any], *, as_dict: bool) -> dict[str, Any]:
    """Differentiate a loss that takes tensors with PyTorch; raise InputError without PyTorch, or if it returns none."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError('gradient="autograd" needs PyTorch; install it, or optitrip[torch]') from None
    library: Any = torch
    tensors = {name: library.tensor(np.array(value), requires_grad=True) for name, value in values.items()}
    returned = pass_values(loss, tensors, as_dict=as_dict)
    returned = returned[0] if is_pair(returned) else returned
    if not isinstance(returned, library.Tensor):
        raise InputError(f"the loss returned a {type(returned).__name__} for tensors, wanted a tensor to differentiate")
    if not returned.requires_grad:
        raise InputError("the loss does not depend on its tensors, as far as PyTorch sees; does it leave PyTorch?")
    returned.backward()
    return {name: np.zeros(tensor.shape) if tensor.grad is None else tensor.grad for name, tensor in tensors.items()}


def returns_pair(loss: Callable[..., Any], values: Mapping[str, Any], *, as_dict: bool) -> bool:
    """Return whether a loss returns the loss and its gradient, as a tuple or list of two."""
    with no_failures():  # what it raises is told when it is evaluated
        return is_pair(pass_values(loss, values, as_dict=as_dict))
    return False
