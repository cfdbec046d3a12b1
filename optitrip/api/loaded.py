"""The loss that a session has loaded, and when it must be loaded anew."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from optitrip.loss.objective import Objective
from optitrip.runtime.imports import check_sources, loaded_sources
from optitrip.runtime.user_state import settings
from optitrip.runtime.visible import Look, packed_settings


class Same:
    """An object that equals only itself, or a number or text of its type; holding it keeps its id from being reused."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Same):
            return False
        kind = type(self.held)
        scalar = kind is type(other.held) and kind in (int, float, str, bool)
        return self.held is other.held or (scalar and repr(self.held) == repr(other.held))

    __hash__ = None  # pyright: ignore[reportAssignmentType, reportUnannotatedClassAttribute]


class LoadedLoss:
    """The objective of a session's last call; `close` stops its workers."""

    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close
        self._last: tuple[Any, bytes | None, Objective] | None = None
        """Key, digest of the loss's visible state, and objective of the last call."""
        self._sources = loaded_sources()

    def objective(self, key: Any, load: Callable[[], Objective]) -> Objective:
        """Return the last call's objective, so that it is not sent to workers again, if it has the same key and its
        loss has not changed, as far as can be seen; else load it.

        Raises InputError if a module of the loss has changed since it was imported: this process has its old code, and
        new workers would import the new one.
        """
        key = key, settings()  # np.seterr in a notebook changes what a loss does, too
        self._forget_if_reloaded()
        if self._last is not None and self._last[0] == key:
            _, digest, objective = self._last
            look = Look(objective.loss)
            check_sources(look.modules)
            if digest is not None and look.digest == digest:
                return objective
        self._last = None
        objective = load()
        look = Look(objective.loss)
        check_sources(look.modules)
        objective = replace(objective, settings=packed_settings(look.settings))
        self._last = key, look.digest, objective
        return objective

    def forget(self, loss: Any = None) -> None:
        """Forget the objective, and close the workers, unless its loss is not the one given."""
        if self._last is not None and (loss is None or self._last[2].loss is loss or Same(loss) in self._last[0][0]):
            self._last = None
            self._close()

    def _forget_if_reloaded(self) -> None:
        """Forget the objective if a module of the user was reloaded; close the workers, which hold the module as they
        imported it, if its source is another one now."""
        before, self._sources = self._sources, loaded_sources()
        reloaded = [name for name in before if before[name] != self._sources.get(name, before[name])]
        if reloaded:
            self._last = None
        if any(before[name][1] != self._sources[name][1] for name in reloaded):
            self._close()
