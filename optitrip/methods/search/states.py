"""The folders of candidates, in which a loss leaves what it goes on from, that are needed from a rung on."""

from itertools import chain

from optitrip.loss.program.folders import name_of
from optitrip.methods.search.halving import Rung
from optitrip.methods.spec import States
from optitrip.space.variables import arguments


def needed_states(rung: Rung) -> States:
    """Return the folders of the candidates of a rung, and of those whose brackets are yet to begin or to go on."""
    varied = [variable.name for variable in rung.points.space.varied]
    names: set[str] = set()
    for index in chain(rung.indices, rung.waiting):
        values = arguments(rung.points.point(index), 0)
        names.add(name_of({name: values[name] for name in varied if name in values}))
    assert rung.resource.before is not None  # it is no first rung
    return States(frozenset(names), rung.resource.before)
