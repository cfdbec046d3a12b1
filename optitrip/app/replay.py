"""Evaluates one item again in this process, and shows its parameters and what the loss returns or raises.

If an item has several points, only the one that the journal records as failed is evaluated, or else all of them.
"""

import math
import pdb
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from optitrip.app.load_objective import load
from optitrip.config.sweep import Sweep
from optitrip.core.arrays import Array, ours
from optitrip.errors import InputError
from optitrip.loss.evaluation import batch_of_one
from optitrip.loss.objective import Objective
from optitrip.loss.passing import Passing
from optitrip.loss.returns import as_number, split_loss
from optitrip.output.text import short_name, show
from optitrip.runtime.interrupts import failure
from optitrip.space.variables import arguments
from optitrip.store.inspect import latest_record, main_method


def replay(
    sweep: Sweep, index: int, report: Callable[[str], None], folder: Path | None = None, *, debug: bool = False
) -> Any:
    """Evaluate an item of a sweep with the plain call; return the loss's return value at the last point.

    `report` receives lines with the parameters, and the losses of all points except the last. With `debug`, the first
    point that fails runs in the debugger: from the first line of the loss, and again where it raises.
    """
    objective = load(sweep)
    method = main_method(sweep, objective.capabilities, folder, index)
    first, stop = method.before, method.before + method.items
    if not 0 <= index < stop:
        raise InputError(f"index was {index}; wanted one of the {stop:,} items, from 0 to {stop - 1}")
    index -= first
    objective = sweep.spec.replayed(method, index, objective)
    sides = list(range(method.sides(index)))
    if len(sides) > 1 and folder is not None and (record := latest_record(folder, method, index)):
        sides = sides if record.side is None else [record.side]
    returned: Any = None
    run = objective.state.run
    with ours(), threadpool_limits(limits=objective.threads):
        if debug and len(sides) > 1:
            sides = [side for side in sides if run(fails, call_at(objective, method.point(index, side)))][:1] or sides
        for number, side in enumerate(sides):
            if number:
                report(repr(returned))
            values = method.point(index, side)
            report(f"{method.title(index, side)} of {sweep.label}")
            for name, batch in values.items():
                report(f"  {short_name(name)} = {show(batch[0])}")
            call = call_at(objective, values)
            returned = run(run_in_debugger, call) if debug else run(call)
    return returned


def call_at(objective: Objective, values: Mapping[str, Array]) -> Callable[[], Any]:
    """Bind the plain call to a point, given as a batch of one."""
    call = objective.plain_call or objective.batch_call
    assert call is not None
    passing = Passing.of(call, list(values), as_dict=objective.as_dict)
    if objective.plain_call is not None:
        return passing.bound(call, arguments(values, 0))
    return partial(batch_of_one, passing.bound(call, values))


def fails(call: Callable[[], Any]) -> bool:
    try:
        loss, _ = split_loss(call())
        return not math.isfinite(as_number(loss))
    except BaseException as error:
        return failure(error) is error


def run_in_debugger(call: Callable[[], Any]) -> Any:
    try:
        return pdb.runcall(call)
    except BaseException as error:
        pdb.post_mortem(failure(error).__traceback__)
        raise
