"""What of an evaluation stands in MLflow: the same parameter and metric names for every model."""

from __future__ import annotations

from collections.abc import Sequence

from defensive_distillation.evaluation import Epoch, Evaluation
from defensive_distillation.tracking import Run


def record_evaluation(run: Run, evaluation: Evaluation) -> None:
    """Puts an evaluation on its model's run; what stands there already is left as it is."""
    run.params(
        {
            "temperature": evaluation.temperature,
            "distilled": evaluation.distilled,
            "architecture": evaluation.architecture,
            "dataset": evaluation.dataset.name,
            "seed": evaluation.seed,
            "train_images": evaluation.dataset.train_images,
        }
    )
    run.tags({"defdistill.temperature": f"{evaluation.temperature:g}", "defdistill.dataset": evaluation.dataset.digest})
    run.curves(curve(evaluation.training))
    run.curves(curve(evaluation.teacher_training, "teacher_"))
    run.metrics(metrics(evaluation))


def metrics(evaluation: Evaluation) -> dict[str, float | None]:
    """The numbers of an evaluation by metric name; shares and accuracies in [0, 1]."""
    values: dict[str, float | None] = {
        "accuracy": evaluation.accuracy,
        "confidence": evaluation.confidence,
        "mean_absolute_logit": evaluation.mean_absolute_logit,
        "zero_gradient_share_float32": evaluation.gradients_at_1.zero_share_float32,
        "zero_gradient_share_float64": evaluation.gradients_at_1.zero_share_float64,
        "median_log10_gradient": evaluation.gradients_at_1.median_log10_amplitude,
    }
    for found in evaluation.attacks:
        # MLflow draws what stands before a slash as one section: the outputs side by side
        values |= {
            f"{found.attack}_success/{found.output}": found.success_rate,
            f"{found.attack}_changed/{found.output}": found.mean_changed_features,
            f"{found.attack}_distortion/{found.output}": found.mean_distortion,
            f"{found.attack}_robustness/{found.output}": found.robustness,
        }
    return values


def curve(training: Sequence[Epoch], prefix: str = "") -> list[dict[str, float | None]]:
    """A training as rows of metrics, one an epoch; those of a teacher begin with 'teacher_'."""
    return [
        {f"{prefix}{name}": getattr(epoch, name) for name in ("loss", "train_accuracy", "test_accuracy")}
        for epoch in training
    ]
