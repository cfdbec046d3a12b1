"""The function `gradcheck`: one line in a test of a hand-written gradient."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optitrip.api.functions import gradient as numeric_gradient
from optitrip.api.inputs import by_name, named_point
from optitrip.errors import InputError, NoAnswer
from optitrip.loss.loading import find_loss
from optitrip.loss.with_gradient import WithGradient, returns_pair
from optitrip.methods.gradient.answer import GradientAnswer
from optitrip.methods.gradient.checking import Comparison
from optitrip.runtime.files import working_folder
from optitrip.space.variables import as_python

SHOWN = 3
"""Number of coordinates that the text of a check names."""


@dataclass(frozen=True, repr=False)
class Gradcheck:
    """A comparison of an analytic gradient with the numeric one; true if it found nothing wrong."""

    answer: GradientAnswer
    """The numeric gradient, with its errors."""
    comparison: Comparison
    """Both gradients, coordinate by coordinate."""

    @property
    def ok(self) -> bool:
        """True if some coordinates could be compared and none is wrong."""
        return self.comparison.ok

    def __bool__(self) -> bool:
        return self.ok

    def worst(self, count: int = SHOWN) -> list[str]:
        """Return the coordinates with the largest disagreement, with both values, the numeric error and the step."""
        return self.comparison.texts(count)

    def __repr__(self) -> str:
        lines = [f"Gradcheck: the gradient {self.comparison.verdict}"]
        for name, (compared, wrong, largest) in self.comparison.by_variable().items():
            lines.append(f"  {name}: {wrong:,} of {compared:,} wrong, largest relative error {largest:.2g}")
        lines += [f"  {text}" for text in self.worst()]
        if self.answer.slope == self.answer.slope:
            lines.append(f"  Taylor's remainder falls with exponent {self.answer.slope:.2f} (2 if right and smooth)")
        return "\n".join(lines)


def gradcheck(loss: Any, x: Any, gradient: Any = None, **options: Any) -> Gradcheck:
    """Compare the gradient of a loss with the numeric one at x: `assert optitrip.gradcheck(loss, x)`.

    An entry is wrong if it is off by more than three times the error of the numeric one, and by more than rounding.
    Coordinates at kinks are left out.

    Args:
        loss: as for `gradient`.
        x: as for `gradient`.
        gradient: function of the parameters, the gradient itself as an array or a dict of arrays, "module:name", or
            "autograd" for what PyTorch derives from a loss that takes tensors; by default the loss's method `gradient`,
            or the second value of a loss that returns (loss, gradient).
        options: as for `gradient`, e.g. `coordinates=100`.

    Raises:
        optitrip.InputError: if there is no gradient to check.
        optitrip.NoAnswer: if the gradient cannot be computed at x, or is of another shape.
    """
    answer = numeric_gradient(loss_with(loss, x, gradient, options), x, **options)
    if answer.comparison is None:
        raise NoAnswer(answer.message() or "errors=False leaves nothing to compare with")
    return Gradcheck(answer, answer.comparison)


def loss_with(loss: Any, x: Any, gradient: Any, options: dict[str, Any]) -> Any:
    """Return the loss with the gradient to check as its method."""
    if isinstance(gradient, str) and ":" in gradient:
        gradient = find_loss(gradient, working_folder())
    if gradient is not None:
        return WithGradient(loss, gradient)
    own: Callable[..., Any] | None = getattr(loss, "gradient", None)
    if callable(own):
        return loss
    given = {**by_name("constants", options.get("constants")), **by_name("arguments", options.get("arguments"))}
    point = named_point(loss, x, given, as_dict=options.get("as_dict", False))
    values = {name: as_python(value[()]) for name, value in point.items()}
    if callable(loss) and returns_pair(loss, {**values, **given}):
        return WithGradient(loss, None)
    raise InputError(
        "gradient: the loss has none to check; wanted gradient=..., a loss with a method `gradient`, or one that "
        "returns (loss, gradient)"
    )
