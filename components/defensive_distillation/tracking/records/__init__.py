"""Finished artifacts and running trainings in MLflow; nothing but the artifact is needed.

All models have the same names of parameters and metrics, so that MLflow can lay them side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from defensive_distillation.artifacts import Artifact, facts
from defensive_distillation.config import part_name
from defensive_distillation.model_id import ModelId
from defensive_distillation.tracking.mlflow_runs import REASON
from defensive_distillation.tracking.records.by_kind import OF_KIND, flat, identity, prefix
from defensive_distillation.tracking.records.metrics import curve
from defensive_distillation.tracking.status import FAILED

if TYPE_CHECKING:
    from defensive_distillation.tracking.run_tree import RunTree


def record(tree: RunTree, artifact: Artifact, *, location: str = "", seconds: float | None = None) -> None:
    """Records a finished artifact on the run of its model, or of the sweep; twice is as good as once.

    Args:
        tree: the runs of the sweep.
        artifact: what is recorded.
        location: where others find it, if not where it lies here.
        seconds: of the processor, that a training has just taken; no artifact holds any, for no two runs take the same.

    Raises:
        TrackingError: if MLflow did not take it.
    """
    artifact = replace(artifact, location=location or artifact.location)
    facts.require(artifact.location, artifact.manifest)
    model = ModelId.of(artifact.facts, artifact.location)
    run = tree.model(model) if model else tree.sweep()
    if model:
        run.params(identity(model))
    OF_KIND[artifact.manifest.kind](tree, run, artifact)
    if model and seconds is not None and artifact.manifest.kind == "model":
        run.metrics({f"{prefix(model)}training_cpu_seconds": seconds})
    tags = _origin(artifact)
    run.tags(tags)
    if tree.rerun:
        run.ended()
    if tree.step:  # Kubeflow has logged its own parameters there: ours carry a prefix
        tree.step.tags({**tags, **({"defdistill.model": model.label} if model else {})})
        tree.step.params(flat("defdistill", artifact.manifest.config))


def epochs(tree: RunTree, model: ModelId, history: Sequence[Mapping[str, Any]]) -> None:
    """Records the epochs of a training so far.

    Raises:
        TrackingError: if MLflow did not take them.
    """
    if history:
        tree.model(model).curves(curve(history, prefix(model)), first_step=history[0]["epoch"])


def failed(tree: RunTree, model: ModelId | None, reason: str) -> None:
    """Records that a stage has failed that worked for `model`, or for the sweep as a whole, and why.

    Raises:
        TrackingError: if MLflow did not take it.
    """
    run = tree.model(model) if model else tree.sweep()
    run.tags({REASON: reason})
    if model or tree.rerun:  # the sweep goes on until the last of its steps has ended
        run.ended(FAILED)


@dataclass(frozen=True)
class StepRecorder:
    """Records in MLflow at once; see `Recorder`."""

    tree: RunTree
    locations: Mapping[str, str] = field(default_factory=dict)  # of artifacts for others, by where they lie here

    def record(
        self, artifact: Artifact, made_from: Mapping[str, Sequence[str]] = {}, seconds: float | None = None
    ) -> None:
        """See `record`."""
        location = self.locations.get(artifact.location, artifact.location)
        record(self.tree, artifact, location=location, seconds=seconds)
        model = ModelId.of(artifact.facts, artifact.location)
        if made_from and model:
            self.tree.model(model).tags(dict(_behind(made_from)))

    def failed(self, model: ModelId | None, reason: str) -> None:
        """See `Recorder`."""
        failed(self.tree, model, reason)

    def epochs(self, model: ModelId, history: Sequence[Mapping[str, Any]]) -> None:
        """See `epochs`."""
        epochs(self.tree, model, history)


def _origin(artifact: Artifact) -> dict[str, str]:
    """Tags that lead from a number to the artifact, the code and the dataset behind it."""
    manifest = artifact.manifest
    stage = manifest.stage
    tags = {"defdistill.stage": stage, f"defdistill.code.{stage}": manifest.code}
    tags |= {f"defdistill.artifact.{name}": artifact.location for name in _names(stage, manifest.config)}
    if "dataset" in manifest.inputs:
        tags["defdistill.dataset"] = manifest.inputs["dataset"][0]
    return tags


def _behind(made_from: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Tags that name the artifacts which a model's evaluation was made from."""
    for kind, places in made_from.items():
        yield f"defdistill.behind.{kind}", "\n".join(places)


def _names(stage: str, config: Mapping[str, Any]) -> list[str]:
    """Names of an artifact in tags: the stage's, or 'attack.pgd' or 'attack.pgd.2of4' for each of several attacks."""
    if "attacks" not in config:
        return [stage]
    parts = [part_name(attack, config["shard"], config["shards"]) for attack in config["attacks"]]
    return [f"{stage}.{part.replace(' ', '.')}" for part in parts]
