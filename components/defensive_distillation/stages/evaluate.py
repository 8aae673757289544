"""evaluate: every number of the paper for one model, and the ones that show what they are worth."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from defensive_distillation import codecs, compute, gradients, metrics
from defensive_distillation.artifacts import Artifact
from defensive_distillation.codecs import StoredAttack
from defensive_distillation.config import EvaluateConfig
from defensive_distillation.data import Dataset
from defensive_distillation.distillation import softmax_at
from defensive_distillation.errors import ArtifactError
from defensive_distillation.evaluation import AttackFindings, DatasetFacts, Epoch, Evaluation, Gradients
from defensive_distillation.models import as_input, predict
from defensive_distillation.pictures import pictures
from defensive_distillation.records import record_evaluation
from defensive_distillation.sample_grid import sample_grid
from defensive_distillation.stage_command import main
from defensive_distillation.stage_run import Result, Stage, Task
from defensive_distillation.tracking import Tracker

JACOBIAN_BYTES = 2**26  # of the Jacobians that are held at once
GRADIENT_BATCH = 100  # most images whose activations are held in float64


def run(
    config: EvaluateConfig,
    *,
    dataset: str,
    model: str,
    attacks: Sequence[str],
    output: str,
    work: str | None = None,
    code: str = "",
    tracker: Tracker | None = None,
) -> Artifact:
    """Measures `model`, attacked by `attacks`, on `dataset`, and writes the evaluation to `output`; see `Stage.run`."""
    inputs = {"dataset": [dataset], "model": [model], "attacks": list(attacks)}
    return STAGE.run(config, inputs, output, work=work, code=code, tracker=tracker)


def _compute(task: Task[EvaluateConfig]) -> Result:
    config, facts = task.config, task.input("model").facts
    device = compute.device(config.device, config.threads)
    dataset = codecs.read_dataset(task.input("dataset"))
    model = codecs.read_model(task.input("model"), dataset).to(device)
    logits = predict(model, dataset.test_images, batch_size=config.batch_size, device=device)
    findings: list[AttackFindings] = []
    tensors: dict[str, Tensor] = {}
    for artifact in task.inputs["attacks"]:
        _require_same_model(task, artifact)
        for output, found in codecs.read_attack(artifact).items():
            if any(other.output == output for other in findings):
                raise ArtifactError(f"{artifact.location}: expected one attack on {output}, got a second")
            findings.append(_attack_findings(artifact, output, found, dataset))
            tensors |= {f"{output}.{k}": v for k, v in sample_grid(dataset, found).items()}
    at_1, at_temperature = _gradients(task, model, dataset, device, (1.0, facts["temperature"]))
    evaluation = Evaluation(
        name=task.label,
        distilled=facts["role"] == "student",
        temperature=facts["temperature"],
        architecture=facts["architecture"],
        seed=config.seed,
        dataset=DatasetFacts(
            name=dataset.name,
            digest=task.input("dataset").digest,
            classes=dataset.classes,
            image_shape=dataset.image_shape,
            train_images=len(dataset.train_images),
            test_images=len(dataset.test_images),
        ),
        accuracy=metrics.accuracy(logits, dataset.test_labels),
        train_accuracy=facts["train_accuracy"],
        confidence=metrics.confidence(softmax_at(logits.double(), 1.0), dataset.test_labels),
        mean_absolute_logit=float(logits.double().abs().mean()),
        training=tuple(Epoch(**epoch) for epoch in facts["training"]),
        teacher_training=tuple(Epoch(**epoch) for epoch in facts["teacher_training"]),
        gradients_at_1=at_1,
        gradients_at_temperature=at_temperature,
        attacks=tuple(findings),
    )
    content = evaluation.model_dump(mode="json")
    return Result({"evaluation": content}, lambda folder: codecs.write_tensors(folder, tensors))


def _require_same_model(task: Task[EvaluateConfig], attack: Artifact) -> None:
    for name in ("dataset", "model"):
        if attack.manifest.inputs[name] != [task.input(name).digest]:
            raise ArtifactError(
                f"{attack.location}: expected an attack on the {name} {task.input(name).digest[:12]}, "
                f"got one on {attack.manifest.inputs[name][0][:12]}"
            )


def _attack_findings(artifact: Artifact, output: str, found: StoredAttack, dataset: Dataset) -> AttackFindings:
    facts = artifact.facts
    variant = next(v for v in facts["variants"] if v["output"] == output)
    features, budget = dataset.test_images[0].numel(), facts["max_features"]
    count, successes = facts["pairs"], variant["successes"]
    changed = found.changed_features.long()
    mean_changed = float(changed[found.success].double().mean()) if successes else None
    robustness, failures = metrics.robustness(
        found.source_index, found.success, changed, max_features=budget, features=features
    )
    budgets, curve = metrics.success_by_budget(found.success, changed, budget)
    return AttackFindings(
        attack=facts["attack"],
        output=output,
        temperature=variant["temperature"],
        max_features=budget,
        theta=facts["theta"],
        pairs=count,
        successes=successes,
        success_rate=successes / count,
        success_interval=metrics.wilson_interval(successes, count),
        mean_changed_features=mean_changed,
        mean_distortion=mean_changed / features if mean_changed is not None else None,
        stop_reasons=variant["stop_reasons"],
        robustness=robustness,
        robustness_failures=failures,
        budgets=tuple(budgets),
        success_by_budget=tuple(curve),
    )


def _gradients(
    task: Task[EvaluateConfig],
    model: nn.Module,
    dataset: Dataset,
    device: torch.device,
    temperatures: tuple[float, float],
) -> list[Gradients]:
    """The amplitudes at each temperature, over the first `gradient_samples` test images."""
    images = dataset.test_images[: task.config.gradient_samples]
    classes, features = dataset.num_classes, images[0].numel()
    size = max(1, min(task.config.batch_size, GRADIENT_BATCH, JACOBIAN_BYTES // (classes * features * 8)))
    amplitudes: dict[float, list[Tensor]] = {t: [] for t in temperatures}
    zeros: dict[tuple[float, torch.dtype], int] = {}
    done = 0
    for batch in images.split(size):
        x = as_input(batch.to(device))
        logits, jacobian = gradients.logit_jacobian(model, x)
        for t in amplitudes:
            amplitudes[t].append(gradients.log10_mean_amplitude(logits, jacobian, t).cpu())
            for dtype in (torch.float32, torch.float64):
                count = int(gradients.zero_gradient(model, x, t, dtype).sum())
                zeros[t, dtype] = zeros.get((t, dtype), 0) + count
        done += len(batch)
        task.progress.update(done, len(images), "gradients")
    return [_gradient_findings(t, torch.cat(amplitudes[t]), zeros) for t in temperatures]


def _gradient_findings(t: float, amplitudes: Tensor, zeros: dict[tuple[float, torch.dtype], int]) -> Gradients:
    count, median = len(amplitudes), float(amplitudes.median())
    return Gradients(
        temperature=t,
        samples=count,
        amplitude_counts=tuple(metrics.amplitude_counts(amplitudes)),
        zero_share_float32=zeros[t, torch.float32] / count,
        zero_share_float64=zeros[t, torch.float64] / count,
        median_log10_amplitude=median if math.isfinite(median) else None,
    )


def _record(task: Task[EvaluateConfig], artifact: Artifact) -> None:
    assert task.tracker is not None
    run = task.tracker.model_run(task.label)
    run.params({f"evaluate.{key}": value for key, value in task.config.model_dump(mode="json").items()})
    evaluation = Evaluation.model_validate(artifact.facts["evaluation"])
    record_evaluation(run, evaluation)
    run.files({"evaluation.json": json.dumps(artifact.facts["evaluation"], indent=1).encode(), **pictures(artifact)})
    run.ended()


STAGE = Stage(EvaluateConfig, _compute, _record)

if __name__ == "__main__":
    main("evaluate")
