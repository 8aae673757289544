"""The stages of the chain recorded in MLflow, and what stands there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from defensive_distillation import artifacts, config
from defensive_distillation.artifacts import Artifact
from defensive_distillation.runtime.command import implementation
from defensive_distillation.tracking.mlflow_runs import Tracker
from support.chain import TRAINING, Chain

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EPOCHS = TRAINING["epochs"]
STAGES = {
    "dataset": {},
    "teacher-1": {"dataset": "dataset"},
    "teacher-20": {"dataset": "dataset"},
    "soft-labels": {"dataset": "dataset", "teacher": "teacher-20"},
    "student": {"dataset": "dataset", "soft_labels": "soft-labels"},
    "control": {"model": "teacher-1"},
    "attack-baseline": {"dataset": "dataset", "model": "teacher-1"},
    "attack": {"dataset": "dataset", "model": "student"},
    "attack-control": {"dataset": "dataset", "model": "control"},
    "suite-baseline": {"dataset": "dataset", "model": "teacher-1"},
    "suite": {"dataset": "dataset", "model": "student", "surrogate": "teacher-1"},
    "suite-control": {"dataset": "dataset", "model": "control"},
    "evaluation-baseline": {
        "dataset": "dataset",
        "model": "teacher-1",
        "attacks": ["attack-baseline", "suite-baseline"],
    },
    "evaluation": {"dataset": "dataset", "model": "student", "attacks": ["attack", "suite"]},
    "evaluation-control": {"dataset": "dataset", "model": "control", "attacks": ["attack-control", "suite-control"]},
    "report": {"evaluations": ["evaluation-baseline", "evaluation", "evaluation-control"]},
}


def record(chain: Chain, name: str, tracker: Tracker) -> Artifact:
    """Runs the stage behind an artifact of the chain again: it finds its result, and records it."""
    manifest = artifacts.read_manifest(chain.place(name))
    settings = config.stage_config(manifest.stage, manifest.config)
    inputs = {
        key: [chain.place(one) for one in found] if isinstance(found, list) else chain.place(found)
        for key, found in STAGES[name].items()
    }
    artifact: Artifact = implementation(manifest.stage).run(
        settings, **inputs, output=chain.place(name), tracker=tracker
    )
    return artifact


def children(tracker: Tracker) -> dict[str, Run]:
    found = tracker.client.search_runs([tracker.experiment_id], f"tags.mlflow.parentRunId = '{tracker.parent_id}'")
    named = {run.info.run_name: run for run in found}
    assert len(named) == len(found)
    return named


def values(client: MlflowClient, run: Run) -> dict[str, list[tuple[int, float]]]:
    """Every value of every metric, by step."""
    return {
        name: [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }


def files(client: MlflowClient, run_id: str, place: str = "") -> dict[str, int]:
    """The artifacts of a run with their sizes."""
    found = {}
    for entry in client.list_artifacts(run_id, place):
        found |= files(client, run_id, entry.path) if entry.is_dir else {entry.path: entry.file_size}
    return found
