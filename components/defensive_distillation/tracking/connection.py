"""Where a step records what it has made; MLflow, which takes seconds to import, is imported only where it does."""

from __future__ import annotations

import json
import os

from defensive_distillation.errors import TrackingError
from defensive_distillation.tracking import Recorder
from defensive_distillation.tracking.status import RUN_DIR

PARENT = "DEFDISTILL_MLFLOW_PARENT"  # id of the sweep's run, where an early step has made it


def recorder(pipeline_run: str | None = None, *, rerun: str = "", location: str = "") -> Recorder | None:
    """The recorder that the environment asks for, or None.

    MLFLOW_TRACKING_URI says where; without it nothing is recorded. Nor is it in a step of the local runner, which
    records all finished artifacts itself (follow.py). The sweep's run is the one that DEFDISTILL_MLFLOW_PARENT or
    Kubeflow's own MLflow integration names; else it is looked for, and made, by the name of the pipeline run.

    Args:
        pipeline_run: name of the pipeline run; KFP_RUN_ID without it.
        rerun: name of a rerun, which is recorded beside the first run.
        location: where others find the step's artifact, if not where the step writes it.

    Raises:
        TrackingError: if the server does not answer.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri or os.environ.get(RUN_DIR):
        return None
    from defensive_distillation.tracking.records import StepRecorder
    from defensive_distillation.tracking.run_tree import RunTree

    tree = RunTree(
        uri,
        pipeline_run or os.environ.get("KFP_RUN_ID") or "single-stages",
        parent=os.environ.get(PARENT, ""),
        below=_kubeflow_run(uri),
        step=os.environ.get("MLFLOW_RUN_ID", ""),
        rerun=rerun,
    )
    return StepRecorder(tree, location)


def _kubeflow_run(uri: str) -> str:
    """The id of a run that Kubeflow's integration has made for this step or for what it is part of, or ''."""
    try:
        told = json.loads(os.environ.get("KFP_MLFLOW_CONFIG") or "{}")
        same_server = told.get("endpoint", uri).rstrip("/") == uri.rstrip("/")
        parent = str(told.get("parentRunId") or "")
    except (ValueError, AttributeError) as error:
        raise TrackingError(f"KFP_MLFLOW_CONFIG: expected a JSON object, got: {error}") from error
    return (parent if same_server else "") or os.environ.get("MLFLOW_RUN_ID", "")
