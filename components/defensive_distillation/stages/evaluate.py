"""evaluate: every number of the paper for one model, and the ones that show what they are worth."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.attack import read_attack
from defensive_distillation.artifacts.dataset import read_dataset
from defensive_distillation.artifacts.evaluation import SAMPLES
from defensive_distillation.artifacts.model import read_model
from defensive_distillation.artifacts.tensors import write_tensors
from defensive_distillation.config import EvaluateConfig
from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.errors import ArtifactError
from defensive_distillation.evaluation import findings, gradients, metrics
from defensive_distillation.evaluation.conditions import conditions
from defensive_distillation.evaluation.masking import judge
from defensive_distillation.evaluation.outcome import Outcome
from defensive_distillation.evaluation.results import DatasetFacts, Epoch, Evaluation, Gradients
from defensive_distillation.evaluation.robust import NearestErrors, nearest_errors, robust_accuracy
from defensive_distillation.evaluation.samples import examples, sample_grid
from defensive_distillation.evaluation.stored_attack import join_attacks
from defensive_distillation.model_id import BASELINE, ModelId
from defensive_distillation.networks import compute
from defensive_distillation.networks.architectures import accuracy, as_input, predict
from defensive_distillation.networks.softmax import softmax_at
from defensive_distillation.runtime.command import main
from defensive_distillation.runtime.stage import Result, Stage, Task
from defensive_distillation.suite.registry import ATTACKS

JACOBIAN_BYTES = 2**26  # of the Jacobians that are held at once
GRADIENT_BATCH = 100  # most images whose activations are held in float64


def _compute(task: Task[EvaluateConfig]) -> Result:
    config, facts = task.config, task.input("model").facts
    device = compute.device(config.device, config.threads, tf32=config.tf32)
    dataset = task.read(read_dataset, task.input("dataset"))
    outcomes = _outcomes(task)
    model_id = _attacked(task)
    scaled = functools.partial(read_model, logit_scale=task.inputs["attacks"][0].facts["logit_scale"])
    model = compute.on(device, task.read(scaled, task.input("model"), dataset))
    logits = predict(model, dataset.test_images, batch_size=config.batch_size, device=device)
    checked = conditions(outcomes)
    correct = logits.argmax(dim=1).cpu() == dataset.test_labels
    errors = nearest_errors(correct, list(outcomes.values()))
    at_1, at_temperature = _gradients(task, model, dataset, device, (1.0, model_id.temperature))
    of = {
        family: [outcome for outcome in outcomes.values() if outcome.attack.family == family]
        for family in ("budget", "ball", "distance", "transfer")
    }
    evaluation = Evaluation(
        model=model_id,
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
        accuracy=accuracy(logits, dataset.test_labels),
        train_accuracy=facts["train_accuracy"],
        confidence=metrics.confidence(softmax_at(logits.double(), 1.0), dataset.test_labels),
        mean_absolute_logit=float(logits.double().abs().mean()),
        training=tuple(Epoch(**epoch) for epoch in facts["training"]),
        teacher_training=tuple(Epoch(**epoch) for epoch in facts["teacher_training"]),
        training_passes=facts.get("training_passes"),
        gradients_at_1=at_1,
        gradients_at_temperature=at_temperature,
        attacks=tuple(findings.by_budget(outcome, dataset.test_images[0].numel()) for outcome in of["budget"]),
        bounded=tuple(findings.within_balls(outcome) for outcome in of["ball"]),
        distances=tuple(findings.by_distance(outcome) for outcome in of["distance"]),
        transfer=findings.transferred(of["transfer"][0], BASELINE.label) if of["transfer"] else None,
        worst_case=findings.worst_case(list(outcomes.values())),
        robust=robust_accuracy(errors) if errors else None,
        conditions=tuple(checked),
        masking=judge(_paired(outcomes), checked, same=model_id.temperature == 1),
    )
    shown, names = examples(dataset, list(outcomes.values()))
    tensors = {f"examples.{name}": tensor for name, tensor in shown.items()}
    for outcome in outcomes.values():
        if outcome.attack.by_class:
            grid = sample_grid(dataset, outcome.samples)
            tensors |= {f"{outcome.variant}.{name}": tensor for name, tensor in grid.items()}
    tensors |= {f"{SAMPLES}.{name}": tensor for name, tensor in _samples(outcomes, correct, errors).items()}
    content = {
        "model": model_id.model_dump(mode="json"),
        "evaluation": evaluation.model_dump(mode="json"),
        "examples": names,
        SAMPLES: {
            "images": task.input("dataset").facts["content"],
            "arguments": {name: dict(outcome.facts["arguments"]) for name, outcome in outcomes.items()},
        },
    }
    return Result(content, lambda folder: write_tensors(folder, tensors))


def _outcomes(task: Task[EvaluateConfig]) -> dict[str, Outcome]:
    """What came of all attacks by name, in the order of the attacks: Kubeflow collects in any order.

    Raises:
        ArtifactError: if an attack was on another model or dataset, is unknown here, or stands there twice.
    """
    parts: dict[str, dict[int, Outcome]] = {}
    shards: dict[str, int] = {}
    for artifact in task.inputs["attacks"]:
        _require_same_model(task, artifact)
        shard, count = artifact.facts["shard"]
        for facts, samples in zip(artifact.facts["variants"], read_attack(artifact).values(), strict=True):
            name = facts["name"]
            if facts["attack"] not in ATTACKS:
                raise ArtifactError(
                    f"{artifact.location}: expected attacks among {', '.join(ATTACKS)}, got {facts['attack']!r}"
                )
            if shard in parts.setdefault(name, {}) or shards.setdefault(name, count) != count:
                raise ArtifactError(f"{artifact.location}: expected one run of {name}, got a second")
            parts[name][shard] = Outcome(facts, samples)
    outcomes = {name: _joined(name, several, shards[name]) for name, several in parts.items()}
    return dict(sorted(outcomes.items(), key=lambda item: item[1].attack.order))


def _joined(name: str, parts: Mapping[int, Outcome], shards: int) -> Outcome:
    """The shards of one attack as the whole that they are shares of."""
    missing = [str(shard) for shard in range(shards) if shard not in parts]
    if missing:
        raise ArtifactError(f"attacks: expected all {shards} shards of {name}, got none of {', '.join(missing)}")
    each = [parts[shard] for shard in range(shards)]
    summed = {key: sum(part.facts[key] for part in each) for key in ("pairs", "successes")}
    reasons = {key: sum(part.facts["stop_reasons"][key] for part in each) for key in each[0].facts["stop_reasons"]}
    whole = join_attacks([part.samples for part in each])
    return Outcome({**each[0].facts, **summed, "stop_reasons": reasons}, whole)


def _require_same_model(task: Task[EvaluateConfig], attack: Artifact) -> None:
    for name in ("dataset", "model"):
        if attack.manifest.inputs[name] != [task.input(name).digest]:
            raise ArtifactError(
                f"{attack.location}: expected an attack on the {name} {task.input(name).digest[:12]}, "
                f"got one on {attack.manifest.inputs[name][0][:12]}"
            )


def _samples(outcomes: Mapping[str, Outcome], correct: Tensor, errors: NearestErrors | None) -> dict[str, Tensor]:
    """What came of each test image and of each pair, by which networks are compared later."""
    kept = {"correct": correct}
    for name, outcome in outcomes.items():
        kept |= {f"{name}.{key}": tensor for key, tensor in outcome.by_pair.items()}
    return kept | ({"errors.source": errors.source_index.int(), "errors.linf": errors.linf} if errors else {})


def _attacked(task: Task[EvaluateConfig]) -> ModelId:
    """The model of all attacks: the one that was given, or a control that is made of it."""
    attacked = [ModelId.model_validate(artifact.facts["model"]) for artifact in task.inputs["attacks"]]
    others = [model for model in attacked if model != attacked[0]]
    if others:
        raise ArtifactError(f"attacks: expected all on one model, got {attacked[0]} and {others[0]}")
    return attacked[0]


def _paired(outcomes: Mapping[str, Outcome]) -> tuple[int, int, int, int] | None:
    """Pairs that JSMA fools on (z/T and at T = 1, z/T alone, T = 1 alone, neither); None if one was not run."""
    if "jsma/scaled" not in outcomes or "jsma/probabilities" not in outcomes:
        return None
    scaled, plain = outcomes["jsma/scaled"].samples.success, outcomes["jsma/probabilities"].samples.success
    if len(scaled) != len(plain):
        return None
    both, first, second = ((scaled & plain).sum(), (scaled & ~plain).sum(), (~scaled & plain).sum())
    return int(both), int(first), int(second), int((~scaled & ~plain).sum())


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


STAGE = Stage(EvaluateConfig, _compute)
run = STAGE.run

if __name__ == "__main__":
    main("evaluate")
