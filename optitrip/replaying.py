"""One item again, in this process: its parameters, and what the loss says of them, as it says it."""

from __future__ import annotations

import pdb
from collections.abc import Callable
from functools import partial
from typing import Any

from threadpoolctl import threadpool_limits

from optitrip.errors import InputError
from optitrip.evaluating import only
from optitrip.loading import load
from optitrip.output.text import show
from optitrip.space import arguments
from optitrip.spec import Sweep


def replay(sweep: Sweep, index: int, say: Callable[[str], None], *, debug: bool = False) -> Any:
    """Evaluate an item of a sweep by the plain call.

    Args:
        sweep: with its point, if it is a gradient.
        index: of a candidate; of a gradient's item, of which 0 is the point itself.
        say: takes the lines that tell what is evaluated.
        debug: stand in the debugger at the first line of the loss, and where it raises.

    Returns:
        What the loss returned.

    Raises:
        InputError: if there is no such item.
        BaseException: whatever the loss raised.
    """
    objective = load(sweep)
    method = sweep.spec.method(sweep, objective.offers)
    if not 0 <= index < method.items:
        raise InputError(f"index was {index}; wanted one of the {method.items:,} items, from 0 to {method.items - 1}")
    values = method.point(index)
    say(f"{method.title(index)} of {sweep.label}")
    for name, batch in values.items():
        say(f"  {name} = {show(batch[0])}")
    call: Callable[[], Any]
    if objective.plain_call is not None:
        call = partial(objective.plain_call, **arguments(values, 0))
    else:
        assert objective.batch_call is not None
        call = partial(only, objective.batch_call, values)
    with threadpool_limits(limits=1):
        if not debug:
            return call()
        try:
            return pdb.runcall(call)
        except Exception as error:
            pdb.post_mortem(error.__traceback__)
            raise
