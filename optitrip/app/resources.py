"""Has a loss take the resource of which a sweep gives more and more, with the folder of a candidate's own."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from optitrip.app.context import Context
from optitrip.config.sweep import Sweep
from optitrip.core.method import Method
from optitrip.core.observer import Observer
from optitrip.errors import InputError
from optitrip.loss.noisy import SEED, takes, takes_seed
from optitrip.loss.offers import find
from optitrip.loss.passing import check_parameters, mismatch, unwrap_partial
from optitrip.loss.program.folders import name_of
from optitrip.loss.program.program import Program
from optitrip.loss.rung import STATE, Resource, changed, part_with_resource, with_resource
from optitrip.methods.spec import MethodSpec, States
from optitrip.output.outcome import Answer
from optitrip.runtime.nanny import remove

FOLDERS, WINNER = "states", "best_state"
"""Names of folders in a state directory: of all candidates while the sweep runs, and of the best one at the end."""
KEY = ("method", "halve")


def staged(sweep: Sweep, loss: Any) -> Any:
    """Return a loss that gets all of the resource that the sweep gives in steps, if it does; any other as it is.

    Raises InputError if the loss does not take it beside the parameters of the space.
    """
    resource: Resource | None = sweep.spec.resource(sweep.method)
    if resource is None:
        return loss
    table, names = sweep.objective, sweep.space.names
    if table.as_dict:
        raise InputError("halve and as_dict do not go together; wanted a loss that takes parameters by name", KEY)
    if resource.argument in table.arguments and sweep.program is None:
        raise InputError(f"{resource.argument} is bound by `arguments`, too; remove it there", KEY)
    bound = {*names, *(table.arguments if sweep.program is None else ())}
    stateful = STATE not in bound and takes_parameter(loss, STATE)
    batches = batched_call(loss)
    if stateful and table.repeats > 1:
        raise InputError(f"repeats and {STATE} do not go together: which of them would leave the folder?", KEY)
    if batches is not None and not table.plain and STATE not in bound and takes(batches, STATE):
        raise InputError(f"{STATE} is the folder of one candidate, and a batch has many; set plain = true", KEY)
    if isinstance(loss, Program):
        check_named(loss, resource.argument)
    else:
        seed = [SEED] if takes_seed(loss) and SEED not in bound else []
        if callable(loss):
            state = [STATE] if stateful else []
            others = [*names, *seed, *state]
            both = [mismatch(loss, some, as_dict=False) for some in (others, [*others, resource.argument])]
            if both[0] is None and both[1] is not None:  # so halve is the cause, not the space
                problem = f"objective {table.reference} takes no {resource.argument}, the argument of halve"
                raise InputError(f"{problem}; add it as a parameter, or name the one that it has", KEY)
            check_parameters(loss, table.reference, [*names, resource.argument, *seed, *state])
        if batches is not None and batches is not loss:
            check_parameters(batches, f"{table.reference}.losses", [*names, resource.argument, *seed])
    varied = [variable.name for variable in sweep.space.varied]
    return with_resource(loss, resource, varied, resumes=stateful)


def takes_parameter(loss: Any, name: str) -> bool:
    """Return whether the plain call of a loss takes a parameter."""
    return loss.names(name) if isinstance(loss, Program) else callable(loss) and takes(loss, name)


def batched_call(loss: Any) -> Callable[..., Any] | None:
    """Return what takes batches of a loss, if anything does."""
    if find(unwrap_partial(loss), "takes_batches", []) is True:
        return loss
    return find(loss, "losses", [], called=True)


def check_named(program: Program, argument: str) -> None:
    """Raise InputError for a program that is told nothing of its resource."""
    if program.parameters is None and not program.names(argument):
        places = f"{{{argument}}} in the command or the environment, @{argument}@ in a template"
        raise InputError(f"the program names no {argument}; wanted {places}, or `parameters`", ("program", "command"))


class StateFolders(Observer):
    """The folders of candidates, in which a loss leaves what it goes on from; those of losers go after each rung.

    Args:
        place: folder for them.
        spec: descriptor of the method.
        varied: variables by whose values they are named.
        last: amount of the resource in the last rung.
    """

    def __init__(self, place: Path, spec: MethodSpec[Any], varied: list[str], last: Any) -> None:
        self.place, self._spec, self._varied, self._last = place, spec, varied, last

    def stage(self, method: Method) -> None:
        needed: States | None = self._spec.states(method)
        if needed is None:
            return
        for home in self._homes():
            if home.name.rpartition("-")[0] not in needed.names and home.name not in needed.names:
                remove(str(home))
                continue
            for left in home.iterdir():
                if (amount := amount_of(left)) is not None and amount < needed.before:
                    remove(str(left))

    def _homes(self) -> list[Path]:
        return sorted(self.place.iterdir()) if self.place.is_dir() else []

    def conclude(self, answer: Answer, folder: Path | None) -> None:
        """Move the folder of the best candidate to the files of the answer, and remove all others."""
        x: Any = getattr(answer, "x", None)
        if folder is not None and isinstance(x, dict):
            name = name_of({key: x[key] for key in self._varied if key in x})
            for home in self._homes():
                left = home / repr(self._last)
                if home.name in (name, f"{name}-{home.name.rpartition('-')[2]}") and left.is_dir():
                    remove(str(folder / WINNER))
                    left.rename(folder / WINNER)
                    break
        remove(str(self.place))


def amount_of(folder: Path) -> float | None:
    """Return the amount of the resource at which a folder was left; None for one that is being written."""
    try:
        return float(folder.name)
    except ValueError:
        return None


def with_folders(context: Context, stack: ExitStack) -> tuple[Context, StateFolders | None]:
    """Return the context with places for the folders of candidates, if the loss takes any: in the state directory, or
    in a temporary folder."""
    staged = part_with_resource(context.objective.loss)
    if staged is None or not context.objective.capabilities.resumes:
        return context, None
    sweep, root = context.sweep, context.options.root
    if root is None:
        place = Path(mkdtemp(prefix="optitrip-"))
        stack.callback(remove, str(place))
    else:
        place = root / sweep.label / FOLDERS
    loss = changed(context.objective.loss, lambda inner: inner.kept_in(place))
    varied = [variable.name for variable in sweep.space.varied]
    folders = StateFolders(place, sweep.spec, varied, staged.resource.amount)
    return replace(context, objective=replace(context.objective, loss=loss)), folders
