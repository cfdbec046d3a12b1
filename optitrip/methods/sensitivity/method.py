"""The stage of a sensitivity: the losses of all points of the design."""

from collections.abc import Mapping
from dataclasses import dataclass

from optitrip.core.arrays import Array
from optitrip.core.failures import Failures
from optitrip.core.method import digest_of
from optitrip.core.part import Part
from optitrip.methods.sensitivity.design import Saltelli
from optitrip.methods.sensitivity.indices import Indices, indices
from optitrip.methods.shared import PointMethod


@dataclass(frozen=True, eq=False)
class SensitivityResult:
    """Indices, and the losses from which they are."""

    indices: Indices
    losses: Array
    """Loss of each point, float64 of shape (points,), in the order of the design; not finite where one failed."""
    named: Mapping[str, Array]
    """Other numbers that the objective returned, by name, beside `losses`."""
    failures: Failures

    @property
    def left_out(self) -> int:
        """Number of rows that are left out because one of their points failed."""
        return len(self.losses) // (2 + len(self.indices.first)) - self.indices.rows


@dataclass(frozen=True)
class Sensitivity(PointMethod[Saltelli]):
    """The losses of the first `items` points."""

    points: Saltelli
    items: int
    kind = "sensitivity"
    main = True
    retried = True
    required_prefix = 100  # if they all fail, the mistake is in the loss, and more points show nothing new

    def digest(self) -> bytes:
        return digest_of(self.kind, {"design": self.points.describe()})

    def result(self, whole: Part) -> SensitivityResult:
        losses, width = whole.columns["loss"], self.points.width
        named = {name: column for name, column in whole.columns.items() if name != "loss"}
        rows = losses[: len(losses) // width * width].reshape(-1, width)
        return SensitivityResult(indices(rows), losses, named, whole.failures)
