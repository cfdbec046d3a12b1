"""The function `gradcheck`: one line in a test of a hand-written gradient."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optitrip.api.functions import gradient as numeric_gradient
from optitrip.api.inputs import by_name, named_point
from optitrip.errors import InputError, NoAnswer
from optitrip.loss.with_gradient import WithGradient, given_gradient, returns_pair
from optitrip.methods.gradient.answer import GradientAnswer
from optitrip.methods.gradient.checking.comparison import Comparison
from optitrip.methods.gradient.checking.hints import hints
from optitrip.output.text import folded
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
        comparison = self.comparison
        lines = [f"Gradcheck: the gradient {comparison.verdict}", *hints(comparison)]
        for name, (judged, wrong, largest) in comparison.by_variable().items():
            lines.append(f"{name}: {wrong:,} of {judged:,} wrong, largest relative error {largest:.2g}")
        lines += self.worst()[0 if self.ok else 1 :]  # the verdict names the first one that is wrong
        lines += self.answer.on_line.texts()
        return "\n".join(folded(line if number == 0 else f"  {line}") for number, line in enumerate(lines))


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
        raise NoAnswer(why_not_compared(answer))
    if weak := answer.comparison.weak:
        logging.getLogger("optitrip").warning("the gradient agrees, but %s", weak)
    return Gradcheck(answer, answer.comparison)


def why_not_compared(answer: GradientAnswer) -> str:
    """Return why there is no comparison."""
    if not (text := answer.message().strip()):
        return (
            "nothing could be compared: errors=False leaves out what tells how far to trust the numeric gradient"
            if not answer.result.has_errors
            else "nothing could be compared: the loss's own `gradient` takes other parameters than the loss"
        )
    read_only = "\nThe values of x are read-only, so that nothing changes them: change a copy, x = x.copy()"
    return text + (read_only if "read-only" in text else "")


def loss_with(loss: Any, x: Any, gradient: Any, options: dict[str, Any]) -> Any:
    """Return the loss with the gradient to check as its method."""
    if gradient is not None:
        return WithGradient(loss, given_gradient(gradient, working_folder()))
    own: Callable[..., Any] | None = getattr(loss, "gradient", None)
    if callable(own):
        return loss
    given = {**by_name("constants", options.get("constants")), **by_name("arguments", options.get("arguments"))}
    as_dict = options.get("as_dict", False)
    point = named_point(loss, x, given, as_dict=as_dict)
    values = {name: as_python(value[()]) for name, value in point.items()}
    if callable(loss) and returns_pair(loss, {**values, **given}, as_dict=as_dict):
        return WithGradient(loss, None)
    raise InputError(
        "gradient: the loss has none to check; wanted gradient=..., a loss with a method `gradient`, or one that "
        "returns (loss, gradient)"
    )
