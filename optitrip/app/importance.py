"""Which variables matter, from the candidates that are stored for a sweep, also of one that was stopped; the loss is
not imported."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from optitrip.app.table import StoredStages
from optitrip.config.sweep import Sweep
from optitrip.errors import InputError
from optitrip.methods.importance import LEAST, Importance, Sample, existing_rows, ranked
from optitrip.output.summary import table_as_lines
from optitrip.output.text import narrow_name, one_line, short_name, word_wrapped
from optitrip.runtime.imports import import_paths
from optitrip.runtime.shadowing import use_import_paths
from optitrip.store.state_dir import open_journal

WIDTH, NAME_COLUMNS = 80, 48
"""Columns of the output, and of a name in it."""
SHARE = (
    "share: of the variance of the ranks of the {measure}, what the variable explains alone (first-order Sobol' index "
    "from given data); error: its standard error; chance: 95 % of variables without influence have a smaller share. "
    "What variables do only together is in none."
)
DEPENDENT = (
    "A searcher or a person chose these candidates, so they are not independent draws: the shares are only "
    "indicative, and errors and chance may be too small."
)


class Found(NamedTuple):
    """Variables of a stored sweep with their importance."""

    sample: Sample
    variables: Mapping[str, Importance | None]
    """Importance by variable, the most important first; None if it cannot be told."""


def stored_importance(sweep: Sweep, folder: Path) -> Found:
    """Rank the scalar variables of a stored sweep. Raises InputError if its method draws no candidates, or too few with
    a finite loss are stored."""
    if sweep.spec.references(sweep.method):
        use_import_paths(import_paths(sweep.folder))
    with open_journal(folder) as journal:
        sample = sweep.spec.sample(sweep, StoredStages(journal).parts)
    if sample is None:
        raise InputError(f"no {sweep.unit} are stored for {sweep.label} yet; `optitrip sweep` evaluates them")
    if not sample.columns:
        left_out = "; ".join(f"{name} is {why}" for name, why in sample.left_out.items())
        raise InputError(f"{sweep.label} has no scalar variable that is drawn: {left_out}")
    if (count := len(sample.losses)) < LEAST:
        stored = f"{count:,} stored {sweep.unit} of {sweep.label} have a finite loss, and {sample.failed:,} failed"
        raise InputError(f"{stored}; wanted at least {LEAST} to tell importance from chance")
    return Found(sample, ranked(sample))


def lines(sweep: Sweep, found: Found) -> list[str]:
    """Return the table for a terminal of 80 columns, and what its numbers mean."""
    sample, variables = found
    failed = f"; {sample.failed:,} that failed are left out" if sample.failed else ""
    head = f"{sweep.label}: {len(sample.losses):,} {sweep.unit}{failed}"
    rows = [[narrow_name(name, NAME_COLUMNS), *cells(one)] for name, one in variables.items()]
    text = [SHARE.format(measure="loss" if sample.measure == "loss" else "screen's loss")]
    text += [] if sample.independent else [DEPENDENT]
    count = {name: int(existing_rows(sample.columns[name]).sum()) for name in variables}
    few = [short_name(name) for name, one in variables.items() if one is None and count[name] < LEAST]
    alike = [short_name(name) for name, one in variables.items() if one is None and count[name] >= LEAST]
    if few:
        text.append(f"Not told: {', '.join(few)}, which fewer than {LEAST} candidates have.")
    if alike:
        text.append(f"Not told: {', '.join(alike)}, which hardly varied, or all losses were the same.")
    told = [name for name, one in variables.items() if one and count[name] < len(sample.losses)]
    if told:
        partly = ", ".join(f"{short_name(name)} ({count[name]:,})" for name in told)
        text.append(f"Compared among the candidates that have the variable: {partly}.")
    if sample.left_out:
        text.append("Left out: " + ", ".join(f"{short_name(name)} ({why})" for name, why in sample.left_out.items()))
    table = table_as_lines((["variable", "share", "error", "chance"], rows))
    return [*(word_wrapped(one_line(head), WIDTH), "", *table, ""), *(word_wrapped(one_line(t), WIDTH) for t in text)]


def cells(one: Importance | None) -> list[str]:
    return ["-"] * 3 if one is None else [f"{number:.4f}" for number in one]


def to_json(sweep: Sweep, found: Found) -> dict[str, Any]:
    """Return everything as one object for JSON."""
    sample, variables = found
    return {
        "name": sweep.name,
        "identity": sweep.identity,
        sweep.unit: len(sample.losses),
        "failed": sample.failed,
        "measure": sample.measure,
        "independent": sample.independent,
        "importance": {name: one and one._asdict() for name, one in variables.items()},
        "left_out": dict(sample.left_out),
    }
