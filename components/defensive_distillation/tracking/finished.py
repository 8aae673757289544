"""What stands in MLflow of a pipeline run: which steps are done, and the evaluations of its models."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.tracking.client import connect, reported

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as StoredRun

_ARTIFACT = "defdistill.artifact."
_EVALUATION = "evaluation.json"


def made(uri: str, pipeline_run: str) -> set[tuple[str, str]]:
    """What is finished: the model's label, '' for the sweep as a whole, and the artifact's name in its tags.

    Raises:
        TrackingError: if the server does not answer.
    """
    with reported(uri):
        return {
            (run.data.tags.get("defdistill.model", ""), name.removeprefix(_ARTIFACT))
            for run in _runs(connect(uri), pipeline_run)
            for name in run.data.tags
            if name.startswith(_ARTIFACT)
        }


def evaluations(uri: str, pipeline_run: str) -> list[Evaluation]:
    """The evaluations of all models of a run; none where it has not come that far.

    Raises:
        TrackingError: if the server does not answer.
    """
    with reported(uri), tempfile.TemporaryDirectory() as folder:
        client = connect(uri)
        several = []
        for run in _runs(client, pipeline_run):
            if f"{_ARTIFACT}evaluate" in run.data.tags and run.data.tags.get("defdistill.kind") == "model":
                path = client.download_artifacts(run.info.run_id, _EVALUATION, folder)
                several.append(Evaluation.model_validate_json(Path(path).read_bytes()))
        return several


def _runs(client: MlflowClient, pipeline_run: str) -> Iterator[StoredRun]:
    """All runs of a pipeline run, in whatever experiment; also a parent that Kubeflow's integration has made."""
    experiments = [one.experiment_id for one in client.search_experiments()]
    seen, parents, token = set(), set(), None
    while token != "":
        page = client.search_runs(experiments, f"tags.`defdistill.pipeline_run` = '{pipeline_run}'", page_token=token)
        for run in page:
            seen.add(run.info.run_id)
            parents.add(run.data.tags.get("mlflow.parentRunId"))
            yield run
        token = page.token or ""
    yield from (client.get_run(parent) for parent in parents - seen if parent)
