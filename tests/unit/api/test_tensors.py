"""Tensors that require a gradient, which NumPy refuses to read, wherever a loss may have or return them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import optitrip
from optitrip.core.arrays import Array
from optitrip.core.failures import Failures
from optitrip.loss.objective import Objective
from optitrip.loss.returns import as_array, as_number


class Tensor:
    """A value with the manners of a PyTorch tensor that requires a gradient."""

    def __init__(self, value: Any) -> None:
        self._value = np.asarray(value)
        self.dtype, self.shape, self.ndim = self._value.dtype, self._value.shape, self._value.ndim

    def detach(self) -> Array:
        return self._value

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")

    def __float__(self) -> float:
        raise RuntimeError("Converting a tensor with requires_grad=True to a scalar")

    def __len__(self) -> int:
        return len(self._value)


class Loss:
    """x squared in every way, returned as tensors."""

    def __call__(self, x: float) -> Any:
        return {"loss": Tensor(x * x), "root": Tensor(x)}

    def losses(self, x: Array) -> Any:
        return {"loss": Tensor(x * x), "root": [Tensor(value) for value in x]}

    def gradient(self, x: float) -> Any:
        return Tensor(2 * x)

    def report(self, x: float) -> Any:
        return {"half": Tensor(x / 2)}

    def images(self, x: Any) -> Any:
        return {"x": Tensor(np.full((2, 2), float(x)))}


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("x", [1.5, Tensor(1.5), {"x": Tensor(1.5)}], ids=["float", "tensor", "by name"])
def test_tensors_are_detached_wherever_they_come_from(x: Any, plain: bool) -> None:
    """As x, loss, losses, numbers beside them, gradient, report and image."""
    found = optitrip.gradient(Loss(), x, plain=plain, executor="serial")
    assert found.failures == {}
    assert found.gradient["x"] == pytest.approx(3.0)
    assert found.analytic == {"x": 3.0}
    assert found.report == {"root": 1.5, "half": 0.75}
    assert found.images["x"] == pytest.approx(np.full((2, 2), -3.0))  # downhill
    best = optitrip.search(Loss(), {"x": {"uniform": [1, 2]}}, candidates=9, plain=plain, executor="serial")
    assert best.named["root"] ** 2 == best.loss


def test_a_tensor_is_passed_on_as_it_is() -> None:
    """As a constant, and as an argument."""
    seen: list[type] = []

    def loss(x: float, w: Any) -> float:
        seen.append(type(w))
        return x * float(w.detach())

    given: list[Any] = [{"constants": {"w": Tensor(3.0)}}, {"arguments": {"w": Tensor(3.0)}}]
    for one in given:
        assert optitrip.gradient(loss, 2.0, **one, executor="serial").gradient["x"] == pytest.approx(3.0)
    assert optitrip.gradient(loss, {"x": Tensor(np.float32(2.0))}, **given[0], executor="serial").x["x"] == 2.0


def test_what_is_no_tensor_stays_as_strict_as_before() -> None:
    """A method `detach` of another kind is not called on what is a number already, and no error is hidden."""
    assert as_number(Tensor(np.float32(0.5))) == 0.5
    assert as_array([Tensor(1.0), 2.0]).tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match=r"inhomogeneous|same shape"):
        as_array([Tensor([1.0]), [1.0, 2.0]])
    objective = Objective(lambda x: Tensor([x, x]), names=("x",))
    found = objective.evaluate(lambda items: {"x": np.ones(len(items))}, range(2))
    assert found.failures != Failures()
    assert "must be one real number" in found.failures.records["invalid"][0].message


def test_types_and_views_that_numpy_does_not_know() -> None:
    """bfloat16, of which NumPy has none, and views that are negated or conjugated only when read."""
    torch: Any = pytest.importorskip("torch")
    negated = torch.tensor([1j, 2.5j]).conj().imag
    assert as_array(negated).tolist() == [-1.0, -2.5]
    assert as_array(torch.tensor([0.5, 3.0], dtype=torch.bfloat16)).tolist() == [0.5, 3.0]
    assert as_number(torch.tensor(0.5, dtype=torch.bfloat16, requires_grad=True)) == 0.5
    for unwanted in (torch.tensor(True), torch.tensor(1 + 0j)):
        with pytest.raises(TypeError, match="must be one real number"):
            as_number(unwanted)


def test_a_module_of_torch_and_its_state() -> None:
    """`optitrip.gradient(loss, module.state_dict(), as_dict=True)` agrees with autograd."""
    torch: Any = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1)).double()
    data = torch.randn(5, 3, dtype=torch.float64)

    def loss(state: dict[str, Any]) -> Any:
        tensors = {name: torch.tensor(value, requires_grad=True) for name, value in state.items()}
        return torch.func.functional_call(module, tensors, (data,)).square().mean()

    module(data).square().mean().backward()
    wanted = {name: parameter.grad.numpy() for name, parameter in module.named_parameters()}
    for state in (module.state_dict(), dict(module.named_parameters())):
        found = optitrip.gradient(loss, state, as_dict=True, scheme="central", executor="serial")
        assert list(found.gradient) == list(wanted)
        for name, slope in wanted.items():
            assert found.gradient[name] == pytest.approx(slope, abs=1e-7)
    assert optitrip.gradient(lambda **state: loss(state), module.state_dict(), executor="serial").loss == found.loss
