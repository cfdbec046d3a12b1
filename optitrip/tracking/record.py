"""Puts together all that the MLflow run of a sweep holds, as of the end of a command."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optitrip.config.sweep import Sweep
from optitrip.core.names import joined_names
from optitrip.core.observer import MetricPoint
from optitrip.journal.facts import Outbox
from optitrip.output.outcome import Outcome
from optitrip.tracking.names import VALUE_LENGTH, encodable, keys_of
from optitrip.tracking.run import NOTE, Ending, Run

MLFLOW_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


def record_of(
    outcome: Outcome,
    sweep: Sweep,
    run: Run,
    points: Sequence[MetricPoint],
    files: Sequence[str],
    note: str,
    before: Outbox | None,
) -> Outbox:
    """Return the record of this command, with a note in Markdown; `before` is that of the command before it."""
    final = metrics(outcome)
    earlier: dict[str, int] = {key: step for key, _, step, _ in before.metrics} if before else {}
    # A kind of failure that is gone, e.g. since its items were tried again.
    final = {**{key: 0.0 for key in earlier if key.startswith("failed")}, **final}
    charts = {point.key: point.step for point in points}
    # At step 0 MLflow draws bars, of the newest values; a chart ends with the last item.
    steps = {key: max(outcome.items - 1, charts[key]) if key in charts else 0 for key in final}
    lost = {key for key, step in earlier.items() if key not in {**charts, **final} or step > steps.get(key, step)}
    return Outbox(
        items=outcome.items,
        state=outcome.status,
        name=run.name,
        start=run.start,
        end=outcome.ended,
        params=run.params,
        tags={**run.tags, **tags_of(outcome, note)},
        metrics=(*map(list, points), *([key, value, steps[key], outcome.ended] for key, value in final.items())),
        files=tuple(files),
        children=children_of(outcome, sweep),
        renewed=outcome.status == "finished" and bool(lost),
    )


def metrics(outcome: Outcome) -> dict[str, float]:
    """Return the numbers by which sweeps are compared, the finite ones, by MLflow key."""
    found = outcome.answer or outcome.best
    ours = {outcome.unit: float(outcome.items), "seconds": outcome.total_seconds}
    if outcome.failed:
        ours["failed"] = float(outcome.failed)
        ours |= {f"failed/{kind}": float(count) for kind, count in outcome.failures.items()}
    report = {f"report/{name}": value for name, value in outcome.answer.report.items()} if outcome.answer else {}
    return spelled(joined_names(ours, report, found.metrics() if found else {}))


def spelled(numbers: Mapping[str, float]) -> dict[str, float]:
    """Return the finite numbers by MLflow key."""
    keys = keys_of(numbers)
    return {keys[name]: float(value) for name, value in numbers.items() if math.isfinite(value)}


def tags_of(outcome: Outcome, note: str) -> dict[str, str]:
    found = outcome.answer or outcome.best
    labels = found.labels() if found else {}
    keys = keys_of(labels)
    tags = {keys[name]: encodable(value, VALUE_LENGTH) for name, value in labels.items()}
    return {**tags, "optitrip.state": outcome.status, NOTE: note}


def children_of(outcome: Outcome, sweep: Sweep) -> tuple[dict[str, Any], ...]:
    """Return what the child runs of the best candidates hold."""
    wanted = children_wanted(sweep)
    if outcome.answer is None or not wanted:
        return ()
    children: list[dict[str, Any]] = []
    for child in outcome.answer.best_items(wanted):
        keys = keys_of(child.values)
        params = {keys[name]: encodable(str(value), VALUE_LENGTH) for name, value in child.values.items()}
        children.append({"item": child.item, "name": child.name, "params": params, "metrics": spelled(child.metrics)})
    return tuple(children)


def children_wanted(sweep: Sweep) -> int:
    """Return how many child runs a sweep has: those of its method, or of the best as [tracking] says."""
    return max(sweep.tracking.children, sweep.spec.children(sweep.method))


def run_of(record: Outbox, uri: str, experiment: str, journal: str) -> Run:
    """Return the description of a stored record's run."""
    return Run(uri, experiment, record.name, journal, record.start, record.params, record.tags, record.renewed)


def ending_of(record: Outbox, files: Sequence[str], *, children: bool) -> Ending:
    return Ending(
        status=MLFLOW_STATUS[record.state],
        end=record.end,
        tags=record.tags,
        metrics=[(key, value, step, time) for key, value, step, time in record.metrics],
        files=files,
        children=record.children if children or record.children else None,
    )
