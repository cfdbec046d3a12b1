"""Child runs in MLflow of the best candidates of a sweep, for `[tracking] children`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

ITEM = "optitrip.item"
"""Tag with the index of a child's item. What it evaluates to never changes, so a child that is there stays."""
MOST_FOUND = 10_000


def write_children(client: MlflowClient, parent: str, children: Sequence[Mapping[str, Any]], end: int) -> None:
    """Have a run have these children and no others."""
    experiment = client.get_run(parent).info.experiment_id
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'", max_results=MOST_FOUND)
    wanted = {str(child["item"]): child for child in children}
    there: dict[str, str] = {}
    for run in found:
        item = run.data.tags.get(ITEM, "")
        if item in wanted and item not in there:
            there[item] = run.info.run_id
        else:
            client.delete_run(run.info.run_id)
    for rank, (item, child) in enumerate(wanted.items(), 1):
        if item not in there:
            there[item] = write_child(client, experiment, parent, child, end)
        client.set_tag(there[item], "optitrip.rank", str(rank))


def write_child(client: MlflowClient, experiment: str, parent: str, child: Mapping[str, Any], time: int) -> str:
    """Write a child; it gets its tag last, so that one that is not complete is not taken for it."""
    from mlflow.entities import Metric, Param

    tags = {"mlflow.parentRunId": parent, "optitrip.state": "finished"}
    run_id = client.create_run(experiment, start_time=time, run_name=child["name"], tags=tags).info.run_id
    metrics = [Metric(key, value, time, 0) for key, value in child["metrics"].items()]
    client.log_batch(run_id, metrics=metrics, params=[Param(key, value) for key, value in child["params"].items()])
    client.set_terminated(run_id, "FINISHED", time)
    client.set_tag(run_id, ITEM, str(child["item"]))
    return run_id
