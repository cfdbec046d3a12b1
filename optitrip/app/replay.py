"""One item again, in this process: its parameters, and what the loss says of them, as it says it.

An item may have several points. If the journal tells which of them failed, it is that one; else each in turn.
"""

from __future__ import annotations

import math
import pdb
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from optitrip.app.load_objective import load
from optitrip.config.sweep import Sweep
from optitrip.core.arrays import Array
from optitrip.errors import InputError
from optitrip.loss.evaluation import only
from optitrip.loss.objective import Objective
from optitrip.loss.returns import number, split
from optitrip.output.text import show
from optitrip.space.variables import arguments
from optitrip.store.inspect import latest_record


def replay(
    sweep: Sweep, index: int, say: Callable[[str], None], folder: Path | None = None, *, debug: bool = False
) -> Any:
    """Evaluate an item of a sweep by the plain call.

    Args:
        sweep: with its point, if it is a gradient.
        index: of a candidate; of a gradient's item, of which 0 is the point itself.
        say: takes the lines that tell what is evaluated, and what all points but the last returned.
        folder: the state directory, if there is one.
        debug: stand in the debugger at the first line of the loss, and where it raises; of several points, at the first
            that fails, if one does.

    Returns:
        What the loss returned at the last point.

    Raises:
        InputError: if there is no such item.
        BaseException: whatever the loss raised.
    """
    objective = load(sweep)
    method = sweep.spec.method(sweep, objective.capabilities)
    if not 0 <= index < method.items:
        raise InputError(f"index was {index}; wanted one of the {method.items:,} items, from 0 to {method.items - 1}")
    sides = list(range(method.sides(index)))
    if len(sides) > 1 and folder is not None and (record := latest_record(sweep, folder, method, index)):
        sides = sides if record.side is None else [record.side]
    returned: Any = None
    with threadpool_limits(limits=1):
        if debug and len(sides) > 1:
            sides = [side for side in sides if fails(call_of(objective, method.point(index, side)))][:1] or sides
        for place, side in enumerate(sides):
            if place:
                say(repr(returned))
            values = method.point(index, side)
            say(f"{method.title(index, side)} of {sweep.label}")
            for name, batch in values.items():
                say(f"  {name} = {show(batch[0])}")
            call = call_of(objective, values)
            returned = debugged(call) if debug else call()
    return returned


def call_of(objective: Objective, values: Mapping[str, Array]) -> Callable[[], Any]:
    """Make the plain call at a point, given as a batch of one."""
    if objective.plain_call is not None:
        return partial(objective.plain_call, **arguments(values, 0))
    assert objective.batch_call is not None
    return partial(only, objective.batch_call, values)


def fails(call: Callable[[], Any]) -> bool:
    """Return whether a loss raises, or gives no finite number."""
    try:
        loss, _ = split(call())
        return not math.isfinite(number(loss))
    except (Exception, SystemExit):
        return True


def debugged(call: Callable[[], Any]) -> Any:
    """Call in the debugger."""
    try:
        return pdb.runcall(call)
    except Exception as error:
        pdb.post_mortem(error.__traceback__)
        raise
