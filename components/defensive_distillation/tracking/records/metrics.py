"""The numbers of an evaluation and of a training by the names that they have in MLflow, the same for every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting.findings.images import ROBUST, WORST, images
from defensive_distillation.reporting.measures import (
    CASES,
    best_transfer,
    failed,
    fooled_within,
    mean_distance,
    reported_radius,
    robust_within,
)
from defensive_distillation.suite.registry import ATTACKS


def metrics(evaluation: Evaluation) -> dict[str, float | None]:
    """The numbers of an evaluation by metric name; shares and accuracies in [0, 1]."""
    robust_accuracy = robust_within(evaluation, reported_radius(evaluation))
    values: dict[str, float | None] = {
        "accuracy": evaluation.accuracy,
        "robust_accuracy": robust_accuracy[0] if robust_accuracy else None,
        "confidence": evaluation.confidence,
        "training_passes": None if evaluation.training_passes is None else float(evaluation.training_passes),
        "mean_absolute_logit": evaluation.mean_absolute_logit,
        "zero_gradient_share_float32": evaluation.gradients_at_1.zero_share_float32,
        "zero_gradient_share_float64": evaluation.gradients_at_1.zero_share_float64,
        "median_log10_gradient": evaluation.gradients_at_1.median_log10_amplitude,
    }
    for one in evaluation.attacks:
        # MLflow draws what stands before a slash as one section: the outputs side by side
        values |= {
            f"{one.attack}_success/{one.output}": one.success_rate,
            f"{one.attack}_changed/{one.output}": one.mean_changed_features,
            f"{one.attack}_distortion/{one.output}": one.mean_distortion,
            f"{one.attack}_robustness/{one.output}": one.robustness,
        }
    if robust := evaluation.robust:
        pairs = zip(robust.epsilons, robust.accuracy, strict=True)
        values |= {f"robust_accuracy_within/{epsilon:g}": share for epsilon, share in pairs}
        values["misclassified"] = robust.misclassified / robust.samples
    numbers = images(evaluation)
    values |= {f"images/{name.replace(' ', '_')}": numbers.get(name) for name in (*ATTACKS, ROBUST, WORST)}
    return values | _distances(evaluation) | _bounded(evaluation) | _judged(evaluation)


def _distances(evaluation: Evaluation) -> dict[str, float | None]:
    values: dict[str, float | None] = {}
    for one in evaluation.distances:
        values[f"cw_success/{one.norm}"] = one.success_rate
        values |= {f"cw_mean/{one.norm}_{case}": mean_distance(evaluation, one.attack, case) for case in CASES}
    return values


def _bounded(evaluation: Evaluation) -> dict[str, float | None]:
    """Shares fooled within one radius (measures.reported_radius), by transfer, and by any attack."""
    radius, transfer, worst = reported_radius(evaluation), best_transfer(evaluation), evaluation.worst_case
    values = {f"linf_success/{one.name.replace('/', '_')}": fooled_within(one, radius) for one in evaluation.bounded}
    values["linf_success/worst_case"] = fooled_within(evaluation.robust, radius)
    values |= {"linf_radius": radius, "transfer_success": transfer[0] if transfer else None}
    if worst and worst.sources:
        values |= {
            "worst_case/success": worst.fooled / worst.sources,
            "worst_case/l0": worst.mean_l0,
            "worst_case/l2": worst.mean_l2,
            "worst_case/linf": worst.mean_linf,
        }
    return values


def _judged(evaluation: Evaluation) -> dict[str, float | None]:
    judged = evaluation.masking
    values: dict[str, float | None] = {
        "masked": {"yes": 1.0, "undecided": 0.5, "no": 0.0}[judged.masked],
        "masked_difference": judged.difference,
    }
    if evaluation.conditions:
        values["conditions_failed/naive"] = float(len(failed(evaluation, "naive")))
        values["conditions_failed/adaptive"] = float(len(failed(evaluation, "adaptive")))
    return values


def curve(training: Sequence[Mapping[str, Any]], prefix: str = "") -> list[dict[str, float | None]]:
    """A training as rows of metrics, one an epoch.

    MLflow's page that compares runs opens on the first metric that they have: accuracy says more than the loss.
    """
    return [
        {f"{prefix}{name}": epoch[name] for name in ("test_accuracy", "train_accuracy", "loss")} for epoch in training
    ]
