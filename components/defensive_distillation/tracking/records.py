"""What of a finished artifact stands in MLflow: one function for each kind, and nothing but the artifact is needed.

All models have the same names of parameters and metrics, so that MLflow can lay them side by side.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from defensive_distillation.artifacts import Artifact
from defensive_distillation.config import AttackStageConfig, part_name
from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.model_id import ModelId
from defensive_distillation.tracking.metrics import curve, metrics
from defensive_distillation.tracking.mlflow_runs import REASON
from defensive_distillation.tracking.status import FAILED, FINISHED
from defensive_distillation.tracking.sweeps import EVALUATION, EXPERIMENT

if TYPE_CHECKING:
    from defensive_distillation.tracking.mlflow_runs import Run
    from defensive_distillation.tracking.run_tree import RunTree

_NOT_OF_TRAINING = {"temperature", "baseline_threads", "defense", "parameters"}  # settings that stand elsewhere


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
    model = ModelId.of(artifact.facts)
    run = tree.model(model) if model else tree.sweep()
    if model:
        run.params(_identity(model))
    _OF_KIND[artifact.manifest.kind](tree, run, artifact)
    if model and seconds is not None and artifact.manifest.kind == "model":
        run.metrics({f"{_prefix(model)}training_cpu_seconds": seconds})
    tags = _origin(artifact, location or artifact.location)
    run.tags(tags)
    if tree.rerun:
        run.ended()
    if tree.step:  # Kubeflow has logged its own parameters there: ours carry a prefix
        tree.step.tags({**tags, **({"defdistill.model": model.label} if model else {})})
        tree.step.params(_flat("defdistill", artifact.manifest.config))


def epochs(tree: RunTree, model: ModelId, history: Sequence[Mapping[str, Any]]) -> None:
    """Records the epochs of a training so far.

    Raises:
        TrackingError: if MLflow did not take them.
    """
    if history:
        tree.model(model).curves(curve(history, _prefix(model)), first_step=history[0]["epoch"])


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
        model = ModelId.of(artifact.facts)
        if made_from and model:
            self.tree.model(model).tags(dict(_behind(made_from)))

    def failed(self, model: ModelId | None, reason: str) -> None:
        """See `Recorder`."""
        run = self.tree.model(model) if model else self.tree.sweep()
        run.tags({REASON: reason})
        if model or self.tree.rerun:  # the sweep goes on until the last of its steps has ended
            run.ended(FAILED)

    def epochs(self, model: ModelId, history: Sequence[Mapping[str, Any]]) -> None:
        """See `epochs`."""
        epochs(self.tree, model, history)


def _dataset(tree: RunTree, run: Run, artifact: Artifact) -> None:
    facts = artifact.facts
    run.params(
        {
            "dataset": facts["name"],
            "classes": len(facts["classes"]),
            "image_shape": "×".join(map(str, facts["image_shape"])),
            "train_images": facts["train_images"],
            "test_images": facts["test_images"],
        }
    )
    run.tags({"defdistill.dataset": artifact.digest, "defdistill.seed": str(artifact.manifest.config["seed"])})


def _model(tree: RunTree, run: Run, artifact: Artifact) -> None:
    model, config = ModelId.model_validate(artifact.facts["model"]), artifact.manifest.config
    settings = {key: value for key, value in config.items() if key not in _NOT_OF_TRAINING}
    if model.role == "baseline":
        settings["threads"] = config.get("baseline_threads") or config["threads"]
    # the models' runs have the same parameters, so the settings of all teachers stand on the sweep's
    apart = model.role == "teacher" and not tree.rerun
    place, section = (tree.sweep(), "train_teacher") if apart else (run, "training")
    place.params(_flat(section, settings))
    run.curves(curve(artifact.facts["training"], _prefix(model)))


def _soft_labels(tree: RunTree, run: Run, artifact: Artifact) -> None:
    run.metrics({f"soft_label_{name}": artifact.facts[name] for name in ("mean_largest", "mean_entropy_bits")})


def _attack(tree: RunTree, run: Run, artifact: Artifact) -> None:
    config = artifact.manifest.config
    heeded = {key: value for key, value in config.items() if AttackStageConfig.heeds(key, config["attacks"])}
    run.params(_flat("attack", {key: heeded[key] for key in heeded if key not in ("attacks", "shard")}))
    if config["shards"] > 1:
        return  # a share of the samples is no rate of success; the evaluation has it
    run.metrics(  # of all pairs; the evaluation leaves out images that are misclassified without an attack
        {
            f"{variant['attack']}_reached/{variant['variant']}": variant["successes"] / variant["pairs"]
            for variant in artifact.facts["variants"]
            if "output" in variant["arguments"]
        }
    )


def _evaluation(tree: RunTree, run: Run, artifact: Artifact) -> None:
    from defensive_distillation.reporting.pictures import pictures  # matplotlib

    facts = artifact.facts["evaluation"]
    evaluation = Evaluation.model_validate(facts)
    run.params(
        {
            "architecture": evaluation.architecture,
            "dataset": evaluation.dataset.name,
            "seed": evaluation.seed,
            "train_images": evaluation.dataset.train_images,
            **_flat("evaluate", artifact.manifest.config),
        }
    )
    run.curves(curve(facts["training"]))
    run.curves(curve(facts["teacher_training"], "teacher_"))
    run.metrics(metrics(evaluation))
    run.files({"evaluation.json": json.dumps(facts, indent=1).encode(), **pictures(artifact)})
    run.folder(artifact.folder, EVALUATION)  # whole, so that sweeps can be compared sample by sample
    run.ended()


def _report(tree: RunTree, run: Run, artifact: Artifact) -> None:
    run.params({"models": ", ".join(artifact.facts["models"])})
    run.tags({EXPERIMENT: artifact.manifest.config["experiment"]})
    run.folder(artifact.folder, "report")
    run.ended()


def _gate(tree: RunTree, run: Run, artifact: Artifact) -> None:
    """The outcome, and the report with it in front; a run that failed its gate has failed."""
    outcome, page = artifact.facts["outcome"], artifact.file("report.html")
    run.params(_flat("gate", artifact.manifest.config))
    run.files({"report/report.html": page.read_bytes()})
    run.folder(artifact.folder, "gate")
    run.tags(
        {
            "defdistill.gate": outcome,
            "defdistill.gate.why": artifact.facts["sentence"],
            EXPERIMENT: artifact.manifest.config["experiment"],
        }
    )
    run.ended(FAILED if outcome == "failed" else FINISHED)


_OF_KIND: dict[str, Callable[[RunTree, Run, Artifact], None]] = {
    "dataset": _dataset,
    "model": _model,
    "soft_labels": _soft_labels,
    "attack": _attack,
    "evaluation": _evaluation,
    "report": _report,
    "gate": _gate,
}


def _identity(model: ModelId) -> dict[str, Any]:
    """Which network a run is about; a teacher stands on the run of the network that learns from it."""
    role = "defended" if model.role == "teacher" else model.role
    return {"temperature": model.temperature, "role": role, "defense": model.defense or "none"}


def _prefix(model: ModelId) -> str:
    """Curves of the network that is attacked have plain names, those of its teacher begin with 'teacher_'."""
    return "teacher_" if model.role == "teacher" else ""


def _origin(artifact: Artifact, location: str) -> dict[str, str]:
    """Tags that lead from a number to the artifact, the code and the dataset behind it."""
    manifest = artifact.manifest
    stage = manifest.stage
    tags = {"defdistill.stage": stage, f"defdistill.code.{stage}": manifest.code}
    tags |= {f"defdistill.artifact.{name}": location for name in _names(stage, manifest.config)}
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


def _flat(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their whole names, such as 'attack.jsma.theta'."""
    return dict(_leaves(section, values))


def _leaves(section: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(f"{section}.{key}", value)
        else:
            yield f"{section}.{key}", value
