"""Phases: no second is lost, and none counts twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from optitrip.runtime.clock import Stopwatch

Tree = list["tuple[str, int, Tree]"]
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.just([]),
    lambda inner: st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 100), inner), max_size=3),
    max_leaves=8,
)
"""Phases inside phases: each lasts so many ticks, then those within it follow."""


@given(tree=TREES, before=st.integers(0, 100), after=st.integers(0, 100), raises=st.booleans())
def test_phases_add_up_to_all_the_time(tree: Tree, before: int, after: int, raises: bool) -> None:
    """However they are nested, also when one is left by an exception; each counts what is its own."""
    clock, own = 1_000.0, {"start": float(before), "other": float(after)}

    def go(phases: Stopwatch, inside: Tree) -> None:
        nonlocal clock
        for name, ticks, inner in inside:
            with phases.time(name):
                clock += ticks
                own[name] = own.get(name, 0.0) + ticks
                go(phases, inner)
                if raises and not inner:
                    raise ValueError

    phases = Stopwatch(clock - before, lambda: clock)
    try:
        go(phases, tree)
    except ValueError:
        assert raises
    clock += after
    assert phases.seconds == {"other": 0.0, **own}
    assert phases.total == clock - 1_000.0 + before
