"""What `evaluate` finds out about one model: the form in which it reaches the report and MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict


class Finding(BaseModel):
    """Base: frozen, unknown keys refused; NaN and infinity never stand in an evaluation."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DatasetFacts(Finding):
    """Which images a model was trained and attacked on."""

    name: str
    digest: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]  # C, H, W
    train_images: int
    test_images: int


class Epoch(Finding):
    """One pass over the training images; accuracies in [0, 1]."""

    epoch: int
    loss: float
    train_accuracy: float
    test_accuracy: float


class Gradients(Finding):
    """Mean amplitude of the input gradient of the probabilities at `temperature`, counted over samples.

    `amplitude_counts` are the paper's ten bins of Figure 9 (metrics.AMPLITUDE_EDGES), measured in log space.
    """

    temperature: float
    samples: int
    amplitude_counts: tuple[int, ...]
    zero_share_float32: float
    zero_share_float64: float
    median_log10_amplitude: float | None  # None where most logits do not depend on the input at all


class AttackFindings(Finding):
    """One attack on one output of the model."""

    attack: str
    output: str  # "probabilities", "logits" or "scaled" (probabilities of z/T)
    temperature: float  # that the attacked softmax divides by; 1 for logits
    max_features: int
    theta: float
    pairs: int
    successes: int
    success_rate: float
    success_interval: tuple[float, float]  # Wilson, 95 %
    mean_changed_features: float | None  # over successes; None without any
    mean_distortion: float | None  # the same as a share of D
    stop_reasons: Mapping[str, int]  # success, budget, no_pair, zero_gradient
    robustness: float  # Eq. 10, as a share of D; failures counted at the budget
    robustness_failures: float  # their share
    budgets: tuple[int, ...]
    success_by_budget: tuple[float, ...]


class Evaluation(Finding):
    """Everything about one model; shares and accuracies in [0, 1]."""

    name: str  # "baseline" or "T=20"
    distilled: bool
    temperature: float  # of the training
    architecture: str
    seed: int
    dataset: DatasetFacts
    accuracy: float
    train_accuracy: float
    confidence: float  # Eq. 12
    mean_absolute_logit: float
    training: tuple[Epoch, ...]
    teacher_training: tuple[Epoch, ...]  # empty for the baseline
    gradients_at_1: Gradients
    gradients_at_temperature: Gradients
    attacks: tuple[AttackFindings, ...]

    def attack(self, output: str) -> AttackFindings | None:
        """The findings of JSMA on `output`, or None if it was not attacked."""
        return next((found for found in self.attacks if found.attack == "jsma" and found.output == output), None)


def in_order(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The baseline first, then by temperature: the order of arrival means nothing."""
    return sorted(evaluations, key=lambda found: (found.distilled, found.temperature))
