"""What `evaluate` finds out about one model: the form in which it reaches the report and MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from defensive_distillation.model_id import ModelId


class Finding(BaseModel):
    """Base: frozen, unknown keys refused; NaN and infinity never stand in an evaluation."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DatasetFacts(Finding):
    """Which images a model was trained and attacked on."""

    name: str
    digest: str
    classes: tuple[str, ...]
    image_shape: tuple[int, ...]  # C, H, W; another one of inputs that are no images
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


class Attacked(Finding):
    """An attack on images that the network classifies right: what is wrong from the start cannot be fooled."""

    sources: int  # test images, of which every rate and mean is
    misclassified: int  # images that the attack was given, too, and that are wrong without it: in no rate
    # share of its successes, of each image or pair the nearest, that hold when saved as images of 8 bits; None without
    # any, of inputs that are no images, and in an evaluation of an earlier version
    in_eight_bits: float | None = None


class AttackFindings(Attacked):
    """JSMA on one output of the model, budgeted in features (L0).

    `attack` is "jsma" (towards every other class, or `targets` of them), "jsma_decreasing" (the same with θ < 0) or
    "jsma_untargeted" (any class but the true one will do).
    """

    attack: str
    output: str  # "probabilities", "logits" or "scaled" (probabilities of z/T)
    temperature: float  # that the attacked softmax divides by; 1 for logits
    max_features: int
    theta: float
    pairs: int  # of source and target; untargeted, sources
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
    targets: int | None = None  # classes drawn at random for each source; None for every other class


class BoundedFindings(Attacked):
    """An untargeted attack within L∞ balls of several radii.

    `attack` is "fgsm", "pgd", "square" or "noise". `loss` is "cross_entropy" (through the softmax at T = 1, as an
    attacker would who knows nothing of the defense), "margin" (of the logits), or "none" for noise.
    """

    attack: str
    loss: str
    epsilons: tuple[float, ...]  # radii, rising; images are in [0, 1], so at 1 the attack is unbounded
    successes: tuple[int, ...]  # of the attack at each radius alone
    success_by_epsilon: tuple[float, ...]  # share fooled at this radius or a smaller one: never falls
    stop_reasons: Mapping[str, int]  # at the largest radius
    gradient_evaluations: float  # mean a sample and radius

    @property
    def name(self) -> str:
        """'pgd/margin' and so on."""
        return self.attack if self.loss == "none" else f"{self.attack}/{self.loss}"


class Case(Finding):
    """A class to attack towards, chosen as Carlini and Wagner do (Section IV)."""

    success_rate: float  # share of sources
    mean_distance: float | None  # over the sources that were fooled; None without any


class DistanceFindings(Attacked):
    """An attack of Carlini and Wagner, which looks for the nearest adversarial sample, towards every other class.

    Or towards `targets` of them: best, average and worst are then of those.
    """

    attack: str  # "cw_l2", "cw_l0" or "cw_linf"
    norm: str  # "l2", "l0" (changed pixels) or "linf"
    pairs: int
    successes: int
    success_rate: float
    success_interval: tuple[float, float]  # Wilson, 95 %
    best: Case  # the target class that is nearest
    average: Case  # a target class chosen at random
    worst: Case  # the farthest; a source counts as fooled only if every class was reached
    stop_reasons: Mapping[str, int]
    gradient_evaluations: float  # mean a pair
    targets: int | None = None  # classes drawn at random for each source; None for every other class


class TransferFindings(Attacked):
    """Samples of C&W's L2 attack on another network, crafted with confidence κ, shown to this one (untargeted)."""

    surrogate: str  # label of the network that they were crafted on
    confidences: tuple[float, ...]  # κ, rising
    successes: tuple[int, ...]  # this network is fooled
    surrogate_successes: tuple[int, ...]  # the other one is, by a sample that was moved
    mean_l2: tuple[float | None, ...]  # distance of those that fool this network


ROUNDING = 2.0**-23  # of x + ε in float32, x within [0, 1]: what lies so little beyond ε counts as within


class WorstCase(Finding):
    """Per source the nearest misclassified sample that any attack found: the mean of the minimum.

    Over the sources that every attack was run on and that are classified right. A distance is the smallest in its norm.
    """

    attacks: tuple[str, ...]
    sources: int
    fooled: int
    mean_l0: float | None  # changed pixels
    mean_l2: float | None
    mean_linf: float | None
    nearest: Mapping[str, int]  # how many sources each attack was nearest for, in L2


class RobustAccuracy(Finding):
    """Share of test images that are classified right and that no attack fools within an L∞ radius (robust.py)."""

    samples: int  # images that every attack within balls was given: misclassified, fooled or right
    misclassified: int  # without an attack
    epsilons: tuple[float, ...]
    right: tuple[int, ...]
    fooled: tuple[int, ...]  # classified right, and fooled by some attack
    accuracy: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]  # Wilson, 95 %

    @property
    def success_by_epsilon(self) -> tuple[float, ...]:
        """Of the images that are classified right, the share that any attack fools within each radius."""
        attacked = self.samples - self.misclassified
        return tuple(number / attacked if attacked else 0.0 for number in self.fooled)


class Condition(Finding):
    """Something that holds of every sound attack on a network whose gradients are not masked.

    `attacker` is "naive" where the attack differentiates the softmax at T = 1; if it fails, the gradients are masked.
    It is "adaptive" where the attack uses the logits; if it fails, the attack is broken.
    """

    name: str  # iterated, black_box, transfer, noise, unbounded or monotone
    attacker: Literal["naive", "adaptive"]
    passed: bool
    sentence: str  # what was compared, with the numbers
    meaning: str  # '' if passed, else 'the gradients are masked', 'the loss is weak' or 'the attack is broken'


GradientFault = Literal["random", "stepped", "saturating", "shattered"]


class GradientSign(Finding):
    """A way in which the input gradient of the logits themselves misleads; `sentence` tells what was measured."""

    name: GradientFault
    sentence: str


class GradientCheck(Finding):
    """The input gradient of the logits beside what the logits do when the image moves (gradient_check.py)."""

    samples: int
    logit_temperature: float  # T̂: of the size of the logits alone (networks.softmax.logit_temperature)
    repeat_difference: float  # largest change of a logit between two calls on the same images, in units of T̂
    zero_share: float  # of images without any gradient, though the logits move
    slope: float | None  # median change that the gradient predicts, as a share of the change; None where nothing moves
    flat_half: float | None  # the same for the flatter half of the features, moved far; None where little moves
    levels: int | None  # that the input is rounded to, where that could be told
    signs: tuple[GradientSign, ...]


Masked = Literal["yes", "no", "undecided"]


class Masking(Finding):
    """Whether the gradients are masked, and by what: JSMA and PGD through the softmax at T = 1 beside what knows more.

    `difference` is JSMA's on the probabilities of z/T against T = 1, pair by pair; `within` is PGD's by the
    cross-entropy of the same two, at the radius where they differ most.
    """

    masked: Masked
    difference: float | None  # success(z/T) − success(T = 1); None where one of them was not run
    interval: tuple[float, float] | None  # 95 %, of the paired difference
    within: float | None = None  # success(z/T) − success(T = 1); None where one of them was not run
    within_interval: tuple[float, float] | None = None
    gradient: tuple[GradientSign, ...] = ()  # faults of the logits' own gradient
    signs: tuple[str, ...]  # names of the naive attacker's conditions that failed, and not for a weak loss
    broken: tuple[str, ...]  # names of the adaptive attacker's conditions that failed


class Evaluation(Finding):
    """Everything about one model; shares and accuracies in [0, 1]."""

    model: ModelId
    architecture: str
    seed: int
    dataset: DatasetFacts
    accuracy: float
    train_accuracy: float | None  # None of a network that was imported
    confidence: float  # Eq. 12
    mean_absolute_logit: float
    training: tuple[Epoch, ...]
    teacher_training: tuple[Epoch, ...]  # empty for the baseline
    training_passes: int | None = None  # of the training images, forward and backward, the teacher's too; None: unknown
    gradients_at_1: Gradients
    gradients_at_temperature: Gradients
    attacks: tuple[AttackFindings, ...]  # JSMA
    bounded: tuple[BoundedFindings, ...] = ()
    distances: tuple[DistanceFindings, ...] = ()
    transfer: TransferFindings | None = None
    worst_case: WorstCase | None = None
    robust: RobustAccuracy | None = None  # None where no attack within balls was run
    conditions: tuple[Condition, ...] = ()
    gradient_check: GradientCheck | None = None
    warnings: tuple[str, ...] = ()  # what to know before the numbers are believed, of a network that was imported
    masking: Masking

    @property
    def name(self) -> str:
        """The network's label: 'baseline', 'T=20' or 'control T=20'."""
        return self.model.label

    @property
    def defended(self) -> bool:
        """Whether a defense was applied to the network, or may have been: one that was imported is judged as such."""
        return self.model.role in ("defended", "imported")

    @property
    def control(self) -> bool:
        """Whether the network is a control."""
        return self.model.role == "control"

    @property
    def temperature(self) -> float:
        """T that z/T divides by: of the training, or T̂ where none is known (ModelId.known_temperature)."""
        return self.gradients_at_temperature.temperature

    def attack(self, output: str) -> AttackFindings | None:
        """The findings of JSMA on `output`, or None if it was not attacked."""
        return next((one for one in self.jsma if one.output == output), None)

    @property
    def jsma(self) -> tuple[AttackFindings, ...]:
        """JSMA as in the paper, towards every other class with θ as configured, on each output."""
        return tuple(one for one in self.attacks if one.attack == "jsma")

    @property
    def by_attack(self) -> tuple[tuple[str, Attacked], ...]:
        """Every attack that was run, by the name of its kind: 'jsma', 'pgd', 'transfer'; once for each variant."""
        return (
            *((one.attack, one) for one in self.attacks),
            *((one.attack, one) for one in self.bounded),
            *((one.attack, one) for one in self.distances),
            *((("transfer", self.transfer),) if self.transfer else ()),
        )

    def within(self, name: str) -> BoundedFindings | None:
        """The findings of the bounded attack called 'pgd/margin' and so on, or None."""
        return next((one for one in self.bounded if one.name == name), None)

    def distance(self, attack: str) -> DistanceFindings | None:
        """The findings of 'cw_l2', 'cw_l0' or 'cw_linf', or None."""
        return next((one for one in self.distances if one.attack == attack), None)


def in_order(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The baseline, then defended networks, then controls, by parameters: the order of arrival means nothing."""
    return sorted(evaluations, key=lambda one: one.model.order)
