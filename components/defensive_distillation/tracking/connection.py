"""Where a step records what it has made; MLflow, which takes seconds to import, is imported only where it does."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from defensive_distillation.errors import TrackingError
from defensive_distillation.tracking import Recorder
from defensive_distillation.tracking.status import RUN_DIR

if TYPE_CHECKING:
    from defensive_distillation.tracking.run_tree import RunTree

PARENT = "DEFDISTILL_MLFLOW_PARENT"  # id of the sweep's run, where an early step has made it


def recorder(
    pipeline_run: str | None = None, *, rerun: str = "", beside: str = "", locations: Mapping[str, str] = {}
) -> Recorder | None:
    """The recorder that the environment asks for, or None.

    MLFLOW_TRACKING_URI says where, or Kubeflow's own MLflow integration; without both nothing is recorded. Nor is it in
    a step of the local runner, which records all finished artifacts itself (follow.py). The sweep's run is the one that
    DEFDISTILL_MLFLOW_PARENT or Kubeflow's integration names; else it is looked for, and made, by the name of the
    pipeline run.

    Args:
        pipeline_run: name of the pipeline run; KFP_RUN_ID without it.
        rerun: name of a rerun, which is recorded beside the first run.
        beside: name of that run, where it is another than this.
        locations: where others find artifacts, by where they lie for this step.

    Raises:
        InputError: if MLflow does not know the run `beside`.
        TrackingError: if the server does not answer.
    """
    if os.environ.get(RUN_DIR):
        return None
    found = tree(pipeline_run, rerun=rerun, beside=beside)
    if found is None:
        return None
    from defensive_distillation.tracking.records import StepRecorder

    return StepRecorder(found, locations)


def tree(pipeline_run: str | None = None, *, rerun: str = "", beside: str = "") -> RunTree | None:
    """The runs of the sweep that the environment tells of, or None where nothing is recorded."""
    uri, told = tracking_uri(), _integration()
    if not uri:
        return None
    from defensive_distillation.tracking.run_tree import RunTree

    if beside:
        from defensive_distillation.tracking.lineage import parent

        return RunTree(uri, beside, parent=parent(beside), step=os.environ.get("MLFLOW_RUN_ID", ""), rerun=rerun)
    same_server = str(told.get("endpoint") or uri).rstrip("/") == uri.rstrip("/")
    above = str(told.get("parentRunId") or "") if same_server else ""
    return RunTree(
        uri,
        pipeline_run or os.environ.get("KFP_RUN_ID") or "single-stages",
        parent=os.environ.get(PARENT, ""),
        below=above or os.environ.get("MLFLOW_RUN_ID", ""),
        step=os.environ.get("MLFLOW_RUN_ID", ""),
        rerun=rerun,
    )


def tracking_uri() -> str:
    """Where MLflow is: the usual variable, or what Kubeflow's integration says; '' for nowhere."""
    return os.environ.get("MLFLOW_TRACKING_URI") or str(_integration().get("endpoint") or "")


def _integration() -> dict[str, Any]:
    """What Kubeflow's own MLflow integration tells a step: its server, and a run above the step's."""
    try:
        told = json.loads(os.environ.get("KFP_MLFLOW_CONFIG") or "{}")
    except ValueError as error:
        raise TrackingError(f"KFP_MLFLOW_CONFIG: expected a JSON object, got: {error}") from error
    if not isinstance(told, dict):
        raise TrackingError(f"KFP_MLFLOW_CONFIG: expected a JSON object, got: {told}")
    return told
