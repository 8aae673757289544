"""Everything about one network: its accuracy, its gradients, what the attacks amount to, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.evaluation import findings, gradients, metrics
from defensive_distillation.evaluation.eight_bits import share_in_eight_bits
from defensive_distillation.evaluation.outcome import Outcome, on_right_ones
from defensive_distillation.evaluation.results import DatasetFacts, Epoch, Evaluation, Gradients
from defensive_distillation.evaluation.robust import NearestErrors, nearest_errors, robust_accuracy
from defensive_distillation.evaluation.verdict.conditions import conditions, explained
from defensive_distillation.evaluation.verdict.counts import jsma_counts, pgd_counts
from defensive_distillation.evaluation.verdict.gradient_check import check_gradients
from defensive_distillation.evaluation.verdict.masking import judge
from defensive_distillation.model_id import BASELINE, ModelId
from defensive_distillation.networks.architectures import accuracy, as_input, predict
from defensive_distillation.networks.softmax import softmax_at

JACOBIAN_BYTES = 2**26  # of the Jacobians that are held at once
GRADIENT_BATCH = 100  # most images whose activations are held in float64
CHECKED = 50  # images of which the gradient of the logits is checked


@dataclass(frozen=True)
class NetworkFacts:
    """Which network it is, and how it was trained; a network that was imported has no epochs."""

    model: ModelId
    architecture: str
    train_accuracy: float | None = None
    training: tuple[Epoch, ...] = ()
    teacher_training: tuple[Epoch, ...] = ()
    training_passes: int | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, facts: Mapping[str, Any], model: ModelId) -> NetworkFacts:
        """What the manifest of a model artifact says; `model` may be a control that is made of it."""
        return cls(
            model=model,
            architecture=facts["architecture"],
            train_accuracy=facts["train_accuracy"],
            training=tuple(Epoch(**epoch) for epoch in facts["training"]),
            teacher_training=tuple(Epoch(**epoch) for epoch in facts["teacher_training"]),
            training_passes=facts.get("training_passes"),
            warnings=tuple(facts.get("warnings", ())),
        )


@dataclass(frozen=True)
class Evaluated:
    """An evaluation, and what it says of each image."""

    evaluation: Evaluation
    correct: Tensor  # (N,) bool, whether each test image is classified right
    errors: NearestErrors | None  # None where no attack within balls was run


def evaluate(
    model: nn.Module,
    dataset: Dataset,
    outcomes: Mapping[str, Outcome],
    *,
    network: NetworkFacts,
    temperature: float,
    digest: str,
    seed: int,
    device: torch.device,
    batch_size: int,
    gradient_samples: int,
    on_gradients: Callable[[int, int], None] = lambda done, total: None,
    given: nn.Module | None = None,
) -> Evaluated:
    """Everything about a network, from its attacks by name, in the order of the attacks.

    Args:
        model: on the device, in evaluation mode.
        dataset: of which the test images count.
        outcomes: what came of each attack.
        network: which one it is.
        temperature: T that z/T was attacked with.
        digest: of the dataset.
        seed: of the settings.
        device: where to compute.
        batch_size: images in a forward pass.
        gradient_samples: test images of which the gradients are taken.
        on_gradients: called with images done and in all.
        given: whose logits' gradient is checked, if not `model`'s, which may be the mean of several draws of it.
    """
    logits = predict(model, dataset.test_images, batch_size=batch_size, device=device)
    correct = logits.argmax(dim=1).cpu() == dataset.test_labels
    errors = nearest_errors(correct, list(outcomes.values()))
    outcomes = {
        name: replace(
            outcome,
            in_eight_bits=share_in_eight_bits(
                model, outcome, dataset.test_images, batch_size=batch_size, device=device
            ),
        )
        for name, outcome in on_right_ones(outcomes, correct).items()
    }
    checked = conditions(outcomes)
    images, classes = dataset.test_images[:gradient_samples], dataset.num_classes
    at_1, at_temperature = _gradients(model, images, classes, (1.0, temperature), batch_size, device, on_gradients)
    check = check_gradients(given or model, as_input(images[:CHECKED].to(device)), seed=seed)
    masking = judge(jsma_counts(outcomes), checked, same=temperature == 1, within=pgd_counts(outcomes), check=check)
    of = {
        family: [outcome for outcome in outcomes.values() if outcome.attack.family == family]
        for family in ("budget", "ball", "distance", "transfer")
    }
    evaluation = Evaluation(
        model=network.model,
        architecture=network.architecture,
        seed=seed,
        dataset=DatasetFacts(
            name=dataset.name,
            digest=digest,
            classes=dataset.classes,
            image_shape=tuple(dataset.test_images.shape[1:]),
            train_images=len(dataset.train_images),
            test_images=len(dataset.test_images),
        ),
        accuracy=accuracy(logits, dataset.test_labels),
        train_accuracy=network.train_accuracy,
        confidence=metrics.confidence(softmax_at(logits.double(), 1.0), dataset.test_labels),
        mean_absolute_logit=float(logits.double().abs().mean()),
        training=network.training,
        teacher_training=network.teacher_training,
        training_passes=network.training_passes,
        warnings=network.warnings,
        gradients_at_1=at_1,
        gradients_at_temperature=at_temperature,
        attacks=tuple(findings.by_budget(outcome, dataset.test_images[0].numel()) for outcome in of["budget"]),
        bounded=tuple(findings.within_balls(outcome) for outcome in of["ball"]),
        distances=tuple(findings.by_distance(outcome) for outcome in of["distance"]),
        transfer=findings.transferred(of["transfer"][0], BASELINE.label) if of["transfer"] else None,
        worst_case=findings.worst_case(list(outcomes.values())),
        robust=robust_accuracy(errors) if errors else None,
        conditions=explained(checked, masking.signs),
        gradient_check=check,
        masking=masking,
    )
    return Evaluated(evaluation, correct, errors)


def _gradients(
    model: nn.Module,
    images: Tensor,
    classes: int,
    temperatures: tuple[float, float],
    batch_size: int,
    device: torch.device,
    on_finished: Callable[[int, int], None],
) -> list[Gradients]:
    """The amplitudes at each temperature, over `images` (N, C, H, W) uint8."""
    features = images[0].numel()
    size = max(1, min(batch_size, GRADIENT_BATCH, JACOBIAN_BYTES // (classes * features * 8)))
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
        on_finished(done, len(images))
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
