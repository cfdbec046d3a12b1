"""The update rule of a descent: one of optitrip's by name, or the user's own."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.differences import nearest
from optitrip.errors import NoAnswer
from optitrip.loss.loading import find_loss
from optitrip.methods.descent.rules import RULES
from optitrip.methods.own import is_reference
from optitrip.runtime.interrupts import failure
from optitrip.runtime.tracebacks import with_trace

State = dict[str, Array]
"""State of a rule between steps: arrays by name."""
Stepped = tuple[Array, State]
"""Point and state after a step."""


@dataclass(frozen=True)
class Rule:
    """How a step follows from the gradient: two pure functions, and the options of the second."""

    name: str
    init: Callable[[Array], Any]
    update: Callable[..., Any]
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def begin(self, x: Array) -> State:
        """Return the state before the first step."""
        return self._called("init", lambda: arrays(self.init(x.copy())))

    def step(self, x: Array, gradient: Array, state: State, rate: float) -> Stepped:
        """Return point and state after a step; raise NoAnswer, with the traceback, if the rule fails."""

        def stepped() -> Stepped:
            kept = {name: value.copy() for name, value in state.items()}
            returned: Any = self.update(x.copy(), gradient.copy(), kept, rate, **self.options)
            if not isinstance(returned, tuple) or len(returned) != 2:  # pyright: ignore[reportUnknownArgumentType]
                raise TypeError(f"update returned {returned!r:.80}; wanted the point and the state, x, state")
            after = np.asarray(returned[0], np.float64)  # pyright: ignore[reportUnknownArgumentType]
            if after.shape != x.shape:
                raise ValueError(f"update returned x of shape {after.shape}; wanted {x.shape}")
            return after, arrays(returned[1])

        return self._called("update", stepped)

    def _called(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except BaseException as raised:
            raise NoAnswer(with_trace(f"{what} of the rule {self.name} raised", failure(raised))) from None


def arrays(state: Any) -> State:
    """Return a state as float64 arrays, as a resumed descent finds it; raise TypeError for anything else."""
    if not isinstance(state, Mapping):
        raise TypeError(f"the state was {state!r:.80}; wanted arrays or numbers by name, as a dict")
    return {str(name): np.array(value, np.float64) for name, value in state.items()}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def check_rule(rule: Any, options: Mapping[str, Any]) -> None:
    """Raise ValueError, with what was wanted, for a rule that is none, or options that a rule of optitrip lacks."""
    if callable(rule) or hasattr(rule, "update"):
        return
    if not isinstance(rule, str):
        raise ValueError(f"was {rule!r}; wanted the name of a rule, or module:name of your own")
    if is_reference(rule):
        return
    if rule not in RULES:
        raise ValueError(f"was {rule!r}; {nearest(rule, list(RULES))}, or module:name of your own")
    known = option_names(named(rule).update)
    for name in options:
        if name not in known:
            raise ValueError(f"of {rule} has no option {name!r}; {nearest(name, known)}")


def option_names(update: Callable[..., Any]) -> list[str]:
    """Return the names of the options of an update, with those of Adam if it takes any."""
    kinds = inspect.signature(update).parameters.values()
    own = [one.name for one in kinds if one.kind is one.KEYWORD_ONLY]
    takes_any = any(one.kind is one.VAR_KEYWORD for one in kinds)
    return [*own, *(option_names(named("adam").update) if takes_any else [])]


def named(name: str) -> Any:
    """Import one of optitrip's rules."""
    return import_module(f"optitrip.methods.descent.rules.{name}")


def rule_of(rule: Any, options: Mapping[str, Any], folder: Path) -> Rule:
    """Return the rule with its options; one named as module:name is imported, from `folder` first."""
    if isinstance(rule, str):
        found, name = (find_loss(rule, folder, "rule"), rule) if is_reference(rule) else (named(rule), rule)
    else:
        found, name = rule, getattr(rule, "__qualname__", type(rule).__qualname__)
    update = getattr(found, "update", found)
    return Rule(name, getattr(found, "init", nothing), update, options)


def nothing(x: Array) -> State:
    """Return the state before the first step of a rule without one."""
    del x
    return {}
