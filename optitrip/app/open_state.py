"""The first step of a run: its state directory, if what the answer depends on is what it was."""

from __future__ import annotations

from optitrip.app.context import Context
from optitrip.core.notice import info, warning
from optitrip.journal.facts import Origin
from optitrip.store.provenance import check_provenance, provenance
from optitrip.store.state_dir import StateDir


def open_state(context: Context) -> StateDir:
    """Open the state directory of a sweep, and note there where the sweep comes from.

    Raises:
        StateError: if it is locked or damaged, or what the answer depends on has changed.
    """
    sweep, options = context.sweep, context.options
    state = StateDir(options.state_dir, sweep, fresh=options.fresh)
    try:
        if state.path is not None:
            now = provenance(sweep, context.objective, context.paths)
            check_provenance(state, now, accept_changes=options.accept_changes)
            state.store_sweep_file(sweep)
            state.journal.note(Origin(sweep.name, sweep.folder, sweep.overrides))
    except BaseException:
        state.close()
        raise
    for damage in state.journal.damage:
        context.observers.notice(warning("journal-damaged", f"the journal was damaged: {damage}"))
    if state.difference:
        context.observers.notice(info("new-sweep", state.difference))
    return state
