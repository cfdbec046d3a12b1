"""A loss together with a gradient that is given apart from it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from optitrip.errors import InputError
from optitrip.loss.passing import pass_values, signature_of
from optitrip.runtime.interrupts import no_failures

AUTOGRAD = "autograd"
"""Word for the gradient that PyTorch derives from the loss itself."""


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
        return returned[0] if self._gradient is None else returned

    def gradient(self, **values: Any) -> Any:
        """Return the gradient at a point."""
        if self._gradient is None:
            return pass_values(self._loss, values, as_dict=False)[1]
        if isinstance(self._gradient, str):
            return autograd(self._loss, values)
        if not callable(self._gradient):
            return self._gradient
        return pass_values(self._gradient, values, as_dict=False)


def autograd(loss: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Differentiate a loss that takes tensors with PyTorch; raise InputError without PyTorch, or if it returns none."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError('gradient="autograd" needs PyTorch; install it, or optitrip[torch]') from None
    library: Any = torch
    tensors = {name: library.tensor(np.array(value), requires_grad=True) for name, value in values.items()}
    returned = loss(**tensors)
    if not isinstance(returned, library.Tensor):
        raise InputError(f"the loss returned a {type(returned).__name__} for tensors, wanted a tensor to differentiate")
    returned.backward()
    return {name: np.zeros(tensor.shape) if tensor.grad is None else tensor.grad for name, tensor in tensors.items()}


def returns_pair(loss: Callable[..., Any], values: Mapping[str, Any]) -> bool:
    """Return whether a loss returns the loss and its gradient, as a tuple of two."""
    with no_failures():  # what it raises is told when it is evaluated
        returned = pass_values(loss, values, as_dict=False)
        return isinstance(returned, tuple) and len(returned) == 2  # pyright: ignore[reportUnknownArgumentType]
    return False
