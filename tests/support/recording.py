"""The artifacts of the chain recorded in MLflow, and what stands there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from defensive_distillation import artifacts
from defensive_distillation.tracking import records
from defensive_distillation.tracking.run_tree import RunTree
from support.chain import TRAINING, Chain, lay_out

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow import MlflowClient
    from mlflow.entities import Run

    from defensive_distillation_pipelines.local.run_folder import RunFolder

EPOCHS = TRAINING["epochs"]
EVALUATED = ("evaluation-baseline", "evaluation", "evaluation-control")
ARTIFACTS = (
    "dataset",
    "teacher-1",
    "teacher-20",
    "soft-labels",
    "student",
    *(f"{kind}{model}" for kind in ("attack", "others", "evaluation") for model in ("-baseline", "", "-control")),
    "report",
)


def record(chain: Chain, name: str, tree: RunTree) -> None:
    """Records the artifact of the chain that is called `name`."""
    place = chain.place(name)
    with artifacts.opened(place, artifacts.read_manifest(place).kind) as artifact:
        records.record(tree, artifact)


def finished_run(chain: Chain, root: Path, name: str) -> tuple[RunFolder, RunTree]:
    """A run as `defdistill run` leaves it in the workspace `root`, recorded in the MLflow of that."""
    (run,) = lay_out(chain, root, name)
    tree = RunTree(run.workspace.tracking_uri, run.name, alone=True)
    for evaluation in EVALUATED:
        record(chain, evaluation, tree)
    return run, tree


def runs_of(tree: RunTree) -> list[Run]:
    """All runs of a sweep."""
    condition = f"tags.`defdistill.pipeline_run` = '{tree.pipeline_run}'"
    return list(tree.client.search_runs([tree.experiment_id], condition))


def children(tree: RunTree) -> dict[str, Run]:
    """The runs below the parent, by name."""
    below = tree.client.search_runs([tree.experiment_id], f"tags.mlflow.parentRunId = '{tree.parent_id}'")
    named = {run.info.run_name: run for run in below}
    assert len(named) == len(below)
    return named


def values(client: MlflowClient, run: Run) -> dict[str, list[tuple[int, float]]]:
    """Every value of every metric, by step."""
    return {
        name: [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }


def files(client: MlflowClient, run_id: str, place: str = "") -> dict[str, int]:
    """The artifacts of a run with their sizes."""
    sizes = {}
    for entry in client.list_artifacts(run_id, place):
        sizes |= files(client, run_id, entry.path) if entry.is_dir else {entry.path: entry.file_size}
    return sizes
