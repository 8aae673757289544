"""What of an artifact stands in MLflow: one function for each kind of artifact.

A network's run has few parameters, which tell it from the others: compared, they are what MLflow shows first. Settings
that all networks share stand on the sweep's run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.facts import evaluation_of
from defensive_distillation.config import AttackStageConfig
from defensive_distillation.evaluation.results import DatasetFacts
from defensive_distillation.model_id import ModelId
from defensive_distillation.tracking.records.inputs import log_dataset, log_model
from defensive_distillation.tracking.records.metrics import curve, metrics
from defensive_distillation.tracking.records.sweep import NOTE, description, measures, step
from defensive_distillation.tracking.status import FAILED, FINISHED
from defensive_distillation.tracking.sweeps import EVALUATION, EXPERIMENT

if TYPE_CHECKING:
    from defensive_distillation.tracking.mlflow_runs import Run
    from defensive_distillation.tracking.run_tree import RunTree

_OF_NETWORK = {"temperature", "defense", "parameters"}  # settings of a training that tell which network it is


def identity(model: ModelId) -> dict[str, Any]:
    """Which network a run is about; a teacher stands on the run of the network that learns from it."""
    role = "defended" if model.role == "teacher" else model.role
    parameters = {f"defense.{name}": value for name, value in model.parameters.items() if name != "temperature"}
    return {"temperature": model.temperature, "defense": model.defense or "none", "role": role, **parameters}


def prefix(model: ModelId) -> str:
    """Curves of the network that is attacked have plain names, those of its teacher begin with 'teacher_'."""
    return "teacher_" if model.role == "teacher" else ""


def flat(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their whole names, such as 'attack.jsma.theta'."""
    return dict(_leaves(section, values))


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
    log_dataset(run, DatasetFacts(digest=artifact.digest, **_described(facts)), artifact.location)


def _described(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in DatasetFacts.model_fields if name != "digest"}


def _model(tree: RunTree, run: Run, artifact: Artifact) -> None:
    model, config = ModelId.required(artifact.facts, artifact.location), artifact.manifest.config
    settings = {key: value for key, value in config.items() if key not in _OF_NETWORK}
    _shared(tree, run).params(flat(artifact.manifest.stage, settings))
    run.curves(curve(artifact.facts["training"], prefix(model)))
    if model.role != "teacher":  # nobody attacks it
        log_model(run, _shared(tree, run), tree.experiment_id, model, artifact)


def _soft_labels(tree: RunTree, run: Run, artifact: Artifact) -> None:
    run.metrics({f"soft_label_{name}": artifact.facts[name] for name in ("mean_largest", "mean_entropy_bits")})


def _attack(tree: RunTree, run: Run, artifact: Artifact) -> None:
    config = artifact.manifest.config
    heeded = {key: value for key, value in config.items() if AttackStageConfig.heeds(key, config["attacks"])}
    settings = {key: value for key, value in heeded.items() if key not in ("attacks", "shard")}
    _shared(tree, run).params(flat("attack", settings))
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

    evaluation = evaluation_of(artifact.location, artifact.facts)
    facts = artifact.facts["evaluation"]
    found = metrics(evaluation)
    shared = {"architecture": evaluation.architecture, "seed": evaluation.seed}
    _shared(tree, run).params({**shared, **flat("evaluate", artifact.manifest.config)})
    run.curves(curve(facts["training"]))
    run.curves(curve(facts["teacher_training"], "teacher_"))
    run.metrics(found)
    log_dataset(run, evaluation.dataset)
    run.files({"evaluation.json": json.dumps(facts, indent=1).encode(), **pictures(artifact)})
    run.folder(artifact.folder, EVALUATION)  # whole, so that sweeps can be compared sample by sample
    if (at := step(evaluation)) is not None and not tree.rerun:
        tree.parent.curves([measures(evaluation, found)], first_step=at)
    run.ended()


def _report(tree: RunTree, run: Run, artifact: Artifact) -> None:
    run.params({"models": ", ".join(artifact.facts["models"])})
    run.tags({EXPERIMENT: artifact.manifest.config["experiment"], NOTE: description(artifact)})
    run.folder(artifact.folder, "report")
    if settings := artifact.manifest.config.get("configuration"):
        run.files({"config.yaml": settings.encode()})
    run.ended()


def _gate(tree: RunTree, run: Run, artifact: Artifact) -> None:
    """The outcome, and the report with it in front; a run that failed its gate has failed."""
    outcome, page = artifact.facts["outcome"], artifact.file("report.html")
    run.params(flat("gate", artifact.manifest.config))
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


OF_KIND: dict[str, Callable[[RunTree, Run, Artifact], None]] = {
    "dataset": _dataset,
    "model": _model,
    "soft_labels": _soft_labels,
    "attack": _attack,
    "evaluation": _evaluation,
    "report": _report,
    "gate": _gate,
}


def _shared(tree: RunTree, run: Run) -> Run:
    """Where settings stand that are the same for all networks; those of a rerun stand on the run itself."""
    return run if tree.rerun else tree.parent


def _leaves(section: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(f"{section}.{key}", value)
        else:
            yield f"{section}.{key}", value
