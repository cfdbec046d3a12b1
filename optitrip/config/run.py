"""The [run] table of a sweep file."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from optitrip.core.table import Table

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def custom_resource(name: str) -> str:
    """Refuse the resources that have a key of their own."""
    own = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
    if name in own:
        raise PydanticCustomError("own_key", "{key} in [run]", {"key": own[name]})
    return name


CustomResource = Annotated[str, AfterValidator(custom_resource)]


class RunTable(Table):
    """Where items are evaluated; does not affect the answer."""

    executor: Literal["auto", "serial", "ray"] = "auto"
    workers: Annotated[int, Field(ge=1)] | None = None
    backups: bool | None = None
    """True to start a backup copy of an item that takes much longer than others; by default, where items take less than
    10 s."""
    wait_seconds: NonNegative = 600.0
    """Maximum seconds without any worker, after which the sweep stops; it can be resumed."""
    threads: Annotated[int, Field(ge=1, le=1_024)] = 1
    """Number of threads with which BLAS computes in a worker; a product may have other last bits with another number,
    so a sweep is not resumed with one."""
    num_cpus: NonNegative | None = None
    """CPUs that are reserved for a worker; as many as threads by default."""
    num_gpus: NonNegative = 0.0
    memory: Annotated[int, Field(ge=1)] | None = None
    """Bytes of memory that a cluster reserves for a worker; it does not limit them."""
    resources: dict[CustomResource, NonNegative] = Field(default_factory=dict)
    """Custom resources of a worker, by the names that the nodes of a cluster give them."""

    @property
    def needs(self) -> dict[str, float]:
        """Resources of a worker by Ray's names."""
        memory = {} if self.memory is None else {"memory": float(self.memory)}
        return {**self.resources, "CPU": self.cpus, "GPU": self.num_gpus, **memory}

    @property
    def cpus(self) -> float:
        """CPUs of a worker."""
        return float(self.threads) if self.num_cpus is None else self.num_cpus
