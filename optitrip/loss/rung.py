"""A loss that is evaluated with more and more of a resource, such as epochs, and may go on from where it was."""

import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Self

from optitrip.core.arrays import Array
from optitrip.loss.noisy import BY_POINT, HANDED_ON, SEED, Noisy, takes, takes_seed
from optitrip.loss.offers import find
from optitrip.loss.passing import Ways, pass_values, passing_of, unwrap_partial
from optitrip.loss.program.folders import StateFolder, name_of
from optitrip.runtime.nanny import remove

STATE = "state_dir"
"""Name of the parameter by which a loss takes a folder of its candidate."""
NEW, INSIDE = "new-", "state"
"""Beginning of the name of a folder while a call writes into it, and the name of the folder in it that the call has."""
Amount = int | float
"""How much of its resource a loss gets."""


@dataclass(frozen=True)
class Resource:
    """An argument of the loss, beside the variables, and how much of it a call gets."""

    argument: str
    amount: Amount
    before: Amount | None = None
    """Amount at which the candidate was evaluated before; None if this is its first rung."""

    @property
    def text(self) -> str:
        return f"{self.argument} = {shown(self.amount)}"


def shown(amount: Amount) -> str:
    """Return an amount for people: whole numbers in full, others with six digits."""
    return f"{amount:,}" if isinstance(amount, int) else f"{amount:g}"


class WithResource:
    """A loss that gets an amount of a resource with each call, and a folder of the candidate's own if it takes one.

    What a call finds in the folder is a copy of what the candidate's rung before has left; it is empty in the first
    one, and wherever that copy is not at hand, e.g. on another machine. A loss must be the same either way. Each call
    has a copy of its own, which takes its place once the call has returned: one that is killed, or repeated, spoils
    nothing for others.

    Args:
        loss: the loss, plain or batched.
        resource: argument and amount.
        named: variables by whose values a candidate's folder is named.
        resumes: True if the plain call takes a folder.
    """

    def __init__(self, loss: Any, resource: Resource, named: Sequence[str], *, resumes: bool) -> None:
        self._loss, self._resource, self._named, self._resumes = loss, resource, tuple(named), resumes
        self._place: Path | None = None
        """Folder of the candidates' folders; None to keep none."""
        self._stays = False
        """True if the folder of a call is kept for the next rung."""
        self._ways: Ways = {}
        self.takes_batches = find(unwrap_partial(loss), "takes_batches", []) is True
        self.__qualname__ = getattr(loss, "__qualname__", type(loss).__name__)
        self.__module__ = getattr(loss, "__module__", type(loss).__module__)

    @property
    def inner(self) -> Any:
        """Loss inside."""
        return self._loss

    @property
    def resumes(self) -> bool:
        """True if a call goes on from where the candidate's rung before has ended."""
        return self._resumes

    @property
    def resource(self) -> Resource:
        """Argument, and the amount of a call."""
        return self._resource

    @property
    def settings(self) -> tuple[Any, ...]:
        """Everything beside the loss inside that decides its losses."""
        return self._resource, self._named, self._resumes

    @property
    def takes_seed(self) -> bool:
        """True if the loss inside takes a seed."""
        return takes_seed(self._loss)

    def at(self, resource: Resource) -> Self:
        """Return the loss for a rung."""
        found = copy(self)
        found._resource, found._stays = resource, True
        return found

    def kept_in(self, place: Path) -> Self:
        """Return the loss with a place for the folders of candidates."""
        found = copy(self)
        found._place = place
        return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name == "losses" and callable(inner := getattr(self._loss, name)):
            return partial(self._batch, inner)
        if name in BY_POINT and callable(inner := getattr(self._loss, name)):
            return partial(self._at_point, inner)
        if name in HANDED_ON:
            return getattr(self._loss, name)
        raise AttributeError(name)

    def _given(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {**values, self._resource.argument: self._resource.amount}

    def _batch(self, call: Callable[..., Any], /, **values: Array) -> Any:
        return pass_values(call, self._given(values), as_dict=False)

    def _at_point(self, call: Callable[..., Any], /, **values: Any) -> Any:
        """Call a method such as `report`, with the resource and with what the last rung has left if it takes them."""
        given = self._given(values) if takes(call, self._resource.argument) else values
        if not (self._resumes and takes(call, STATE)):
            return pass_values(call, given, as_dict=False)
        with self._folder(values, self._resource.amount, stays=False) as folder:
            return pass_values(call, {**given, STATE: folder}, as_dict=False)

    @contextmanager
    def _folder(self, values: Mapping[str, Any], before: Amount | None, *, stays: bool) -> Generator[StateFolder]:
        """Give a call a copy of what was left at the amount `before`; keep it if the call returns and it `stays`."""
        home = None if self._place is None else self._place / self._name(values)
        if stays and home is not None:
            home.mkdir(parents=True, exist_ok=True)
        scratch = Path(mkdtemp(prefix=NEW, dir=home) if stays and home is not None else mkdtemp(prefix="optitrip-"))
        try:
            folder = scratch / INSIDE
            if home is not None and before is not None and (home / repr(before)).is_dir():
                shutil.copytree(home / repr(before), folder, symlinks=True)
            else:
                folder.mkdir()
            yield StateFolder(folder)
            if stays and home is not None:
                keep(folder, home / repr(self._resource.amount))
        finally:
            remove(str(scratch))

    def _name(self, values: Mapping[str, Any]) -> str:
        return name_of({name: values[name] for name in (*self._named, SEED) if name in values})


class CallableWithResource(WithResource):
    """A loss with a resource whose plain call, or batched one, is the call itself."""

    def __call__(self, **values: Any) -> Any:
        if self.takes_batches:
            return self._batch(self._loss, **values)
        if not self._resumes:
            return self._plain(self._given(values))
        with self._folder(values, self._resource.before, stays=self._stays) as folder:
            return self._plain({**self._given(values), STATE: folder})

    def _plain(self, given: Mapping[str, Any]) -> Any:
        return passing_of(self._loss, given, self._ways).bound(self._loss, given)()


def with_resource(loss: Any, resource: Resource, named: Sequence[str], *, resumes: bool) -> WithResource:
    """Return a loss with a resource, callable if the loss is."""
    return (CallableWithResource if callable(loss) else WithResource)(loss, resource, named, resumes=resumes)


def keep(folder: Path, place: Path) -> None:
    """Move a folder to its place, unless another call of the same rung has left one there: others may read it now."""
    try:
        folder.rename(place)
    except OSError:
        if not place.is_dir():
            raise


def changed(loss: Any, change: Callable[[WithResource], WithResource]) -> Any:
    """Return a loss with a change to the one with a resource in it."""
    if isinstance(loss, Noisy):
        return loss.with_inner(changed(loss.inner, change))
    return change(loss)


def part_with_resource(loss: Any) -> WithResource | None:
    """Return the loss with a resource in a loss, if there is one."""
    loss = loss.inner if isinstance(loss, Noisy) else loss
    return loss if isinstance(loss, WithResource) else None


def settings_of(loss: Any) -> tuple[Any, ...]:
    """Return everything beside the user's loss that decides what those that wrap it give."""
    found: list[Any] = []
    while isinstance(loss, Noisy | WithResource):
        found.append(loss.settings)
        loss = loss.inner
    return tuple(found)


def innermost(loss: Any) -> Any:
    """Return the user's loss in those that wrap it."""
    while isinstance(loss, Noisy | WithResource):
        loss = loss.inner
    return loss
