"""Views of an experiment that MLflow's UI opens with: which runs, columns and charts, as if somebody had saved them.

MLflow (3.16 and later) keeps a saved view as a tag of the experiment, JSON with a name and the state of its page.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from defensive_distillation.tracking.records.sweep import CONTROL, MEASURES

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

SWEEPS, NETWORKS = "defdistill-sweeps", "defdistill-networks"  # keys of the views, in the addresses of pages
AXES = ("temperature", "accuracy", "jsma_success/probabilities", "jsma_success/scaled")  # of parallel coordinates
_TAG = "mlflow.sharedViewState."
_KIND = ("mlflow.experimentKind", "custom_model_development")  # without it MLflow opens the page of traces
_JSMA = [name for name in MEASURES if name.startswith("jsma")]
_DISTANCES = [name for name in MEASURES if name.startswith("cw_mean")]


def save(client: MlflowClient, experiment: Experiment) -> None:
    """Saves the views in an experiment, unless they are there, and says of it that it holds runs of trainings."""
    tags = experiment.tags
    if _KIND[0] not in tags:
        client.set_experiment_tag(experiment.experiment_id, *_KIND)
    for key, (name, state) in _views().items():
        now, known = int(time.time() * 1000), json.loads(tags.get(_TAG + key, "{}"))
        content = {"name": name, "createdAt": known.get("createdAt", now), "updatedAt": now, "state": json.dumps(state)}
        if known.get("state") != content["state"]:
            client.set_experiment_tag(experiment.experiment_id, _TAG + key, json.dumps(content))


def address(experiment_id: str, view: str) -> str:
    """The part of the address of a view's page behind MLflow's own, in charts."""
    query = f"workflowType=machine_learning&viewStateShareKey={view}&compareRunsMode=CHART"
    return f"/#/experiments/{experiment_id}/runs?{query}"


def _views() -> Mapping[str, tuple[str, dict[str, Any]]]:
    columns = ["params.`temperature`", "params.`defense`", "params.`role`", *(f"metrics.`{name}`" for name in MEASURES)]
    sections = [
        _section("accuracy", "Accuracy by T (0: without distillation)", ["accuracy", "robust_accuracy"]),
        _section("jsma", "Success of JSMA by T", _JSMA),
        _section("distance", "Distance that Carlini and Wagner's attacks need, by T", _DISTANCES),
        _section("logits", "Size of the logits by T", ["mean_absolute_logit"]),
        _section("control", "The control: nothing distilled, logits times T", [CONTROL + name for name in _JSMA]),
    ]
    parallel = {
        **_chart("axes", "networks", "PARALLEL"),
        "selectedParams": list(AXES[:1]),
        "selectedMetrics": list(AXES[1:]),
        "showAllRuns": False,
    }
    networks = ({"uuid": "networks", "name": "Networks side by side"}, [parallel])
    return {
        SWEEPS: ("1 Sweeps by temperature", _state("sweep", columns[3:], sections, "attributes.start_time")),
        # MLflow hides networks below their sweeps where it sorts by the start
        NETWORKS: (
            "2 Networks: temperature, accuracy, JSMA",
            _state("model", columns, [networks], "metrics.`accuracy`"),
        ),
    }


def _state(
    kind: str, columns: Sequence[str], sections: Sequence[tuple[dict[str, Any], list[Any]]], order: str
) -> dict[str, Any]:
    """A page's state; what is left out is as MLflow has it."""
    return {
        "searchFilter": f"tags.`defdistill.kind` = '{kind}'",
        "orderByKey": order,
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(columns),
        "columnOrder": list(columns),
        "runsHiddenMode": "FIRST_20_RUNS",
        "compareRunCharts": [chart for _, charts in sections for chart in charts],
        "compareRunSections": [
            {**section, "display": True, "isReordered": True, "deleted": False, "isGenerated": False}
            for section, _ in sections
        ],
        "isAccordionReordered": True,
        "hideEmptyCharts": True,
    }


def _section(key: str, title: str, metrics: Sequence[str]) -> tuple[dict[str, Any], list[Any]]:
    """A section of line charts, one a metric, each against its step."""
    charts = [
        {
            **_chart(f"{key}-{number}", key, "LINE"),
            "metricKey": metric,
            "selectedMetricKeys": [metric],
            "xAxisKey": "step",
            "displayPoints": True,
            "lineSmoothness": 0,
        }
        for number, metric in enumerate(metrics)
    ]
    return {"uuid": key, "name": title}, charts


def _chart(key: str, section: str, kind: str) -> dict[str, Any]:
    return {
        "uuid": f"defdistill-{key}",
        "type": kind,
        "metricSectionId": section,
        "runsCountToCompare": 20,
        "deleted": False,
        "isGenerated": False,
    }
