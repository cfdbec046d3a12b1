"""The address of MLflow's page that shows the runs of an experiment as a table to compare them, with a chart."""

import base64
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from optitrip.tracking.secrets import without_user

ALL_RUNS = "#/experiments?workflowType=machine_learning"
"""Place of the list of experiments; without the last part, MLflow opens its pages for language models."""
VIEW = "optitrip"
RUNS_LOOKED_AT, MOST_COLUMNS = 200, 12
REQUEST_SECONDS = 10
SECTION = "optitrip-section"
CREATED = "runDateAndNestInfo"
"""Name of MLflow's column of the time when a run was created."""


def runs_page(server: str, experiment: str | None) -> str:
    """Return the address of an experiment's runs on a server, by default of the experiment with the latest run.

    A view is stored in a tag of the experiment, in a form that MLflow does not document. Without it, or if the server
    does not answer, the address still leads to the runs, or at least to the list of experiments.
    """
    place = ALL_RUNS
    with suppress(Exception):  # refused, out of reach, or no MLflow: anything may answer there
        found = experiment_id(server, experiment)
        place = f"#/experiments/{found}/runs?workflowType=machine_learning"
        tag = {"key": f"mlflow.sharedViewState.{VIEW}", "value": json.dumps(view(latest_runs(server, [found])))}
        call(server, "experiments/set-experiment-tag", {"experiment_id": found, **tag})
        place += f"&viewStateShareKey={VIEW}"
    return f"{without_user(server)}/{place}"


def experiment_id(server: str, name: str | None) -> str:
    if name is not None:
        found = call(server, f"experiments/get-by-name?experiment_name={quote(name, safe='')}")
        return found["experiment"]["experiment_id"]
    all_of_them = call(server, "experiments/search", {"max_results": 1_000})["experiments"]
    (latest, *_) = latest_runs(server, [one["experiment_id"] for one in all_of_them])
    return latest["info"]["experiment_id"]


def latest_runs(server: str, experiments: list[str]) -> list[dict[str, Any]]:
    wanted = {"experiment_ids": experiments, "max_results": RUNS_LOOKED_AT, "order_by": ["attributes.start_time DESC"]}
    return call(server, "runs/search", wanted).get("runs", [])


def view(runs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the state of MLflow's page that shows what these runs have: the answer first, then what it is made of."""
    metrics: dict[str, list[float]] = {}
    tags: dict[str, None] = {}
    for run in runs:
        for metric in run["data"].get("metrics", ()):
            metrics.setdefault(metric["key"], []).append(float(metric.get("value", 0)))
        tags |= dict.fromkeys(tag["key"] for tag in run["data"].get("tags", ()))
    best = sorted(key for key in [*metrics, *tags] if key.startswith("best/") and key != "best/index")[:MOST_COLUMNS]
    items = [key for key in metrics if f"optitrip.{key}" in tags]  # the number of candidates has a tag, too
    wanted = ["loss", *items, "seconds", *best]
    columns = ["tags.`optitrip.state`"]
    columns += [f"{'metrics' if key in metrics else 'tags'}.`{key}`" for key in wanted if key in metrics or key in tags]
    positive = all(value > 0 for value in metrics.get("loss", ()))
    chart = {
        "type": "LINE",
        "uuid": "optitrip-loss",
        "metricSectionId": SECTION,
        "isGenerated": False,
        "deleted": False,
        "metricKey": "loss",
        "selectedMetricKeys": ["loss"],
        "displayName": "best loss so far",
        "xAxisScaleType": "log",
        "scaleType": "log" if positive else "linear",
        "xAxisKey": "step",
        "useGlobalXaxisKey": False,
        "useGlobalLineSmoothing": False,
        "lineSmoothness": 0,
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "range": {},
        "runsCountToCompare": 10,
    }
    section = {"uuid": SECTION, "name": "Model metrics", "display": True, "isReordered": True, "deleted": False}
    charts = {"compareRunCharts": [chart], "compareRunSections": [{**section, "isGenerated": True}]} if metrics else {}
    order = {"orderByKey": "attributes.start_time", "orderByAsc": False}
    columns_first = ["attributes.`Run Name`", CREATED, *columns]
    shown = {"selectedColumns": columns, "columnOrder": columns_first, "columnWidths": {CREATED: 130}}
    return {**order, **shown, "isAccordionReordered": True, **charts}


def call(server: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Call MLflow's REST interface; raise whatever goes wrong."""
    url, parts = f"{without_user(server)}/api/2.0/mlflow/{path}", urlsplit(server)
    headers = {"Content-Type": "application/json", **authorization(parts.username, parts.password)}
    data = None if body is None else json.dumps(body).encode()
    proxies = [ProxyHandler({})] if parts.hostname in ("127.0.0.1", "localhost") else []
    with build_opener(*proxies).open(Request(url, data, headers), timeout=REQUEST_SECONDS) as answer:
        return json.load(answer)


def authorization(user: str | None, password: str | None) -> dict[str, str]:
    """Return the header by which MLflow's own client would show who asks."""
    environment = os.environ.get
    user = unquote(user) if user else environment("MLFLOW_TRACKING_USERNAME")
    password = unquote(password) if password else environment("MLFLOW_TRACKING_PASSWORD")
    if user and password:
        return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
    token = environment("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}
