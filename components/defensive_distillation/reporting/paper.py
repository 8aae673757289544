"""The numbers that the paper publishes, to stand beside ours.

Papernot, McDaniel, Wu, Jha, Swami: Distillation as a Defense to Adversarial Perturbations against Deep Neural
Networks, IEEE S&P 2016. https://arxiv.org/abs/1511.04508. Shares in [0, 1]; temperatures are the keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from defensive_distillation.evaluation.results import DatasetFacts, Evaluation
from defensive_distillation.reporting.networks import is_distilled

CITATION = (
    "Papernot, McDaniel, Wu, Jha, Swami: Distillation as a Defense to Adversarial Perturbations against Deep "
    "Neural Networks. IEEE Symposium on Security and Privacy, 2016."
)
CARLINI_WAGNER = "Carlini, Wagner: Towards Evaluating the Robustness of Neural Networks. 2017."

ACCURACY_VARIATION = 0.0137  # Figure 8: distilled and undistilled differ by less, at every T, on both datasets

# Figure 9's ten bins of the mean amplitude of the input gradient
AMPLITUDE_EDGES = (0.0, 1e-40, 1e-35, 1e-30, 1e-25, 1e-20, 1e-15, 1e-10, 1e-5, 1e-3, 1.0)

EPOCHS = 50  # Table II, both datasets

# Second-hand, from Carlini and Wagner (2017): to be marked so wherever shown. Mean absolute logit without distillation
# and distilled at T = 100, and the correlation of T with the mean L2 distance; their attacks reached every target.
SECOND_HAND_LOGITS = (5.8, 482.0)
SECOND_HAND_TEMPERATURE = 100.0
SECOND_HAND_CORRELATION = -0.05

# Not in the parts of the paper that were at hand: from memory, to be marked 'unverified' wherever shown
UNVERIFIED_PAIRS = 90_000
UNVERIFIED_MAX_FEATURES = 112


@dataclass(frozen=True)
class PublishedAmplitudes:
    """Figure 9: how many of 10,000 samples fall into the first and the last bin."""

    below_1e_40: int
    above_1e_3: int
    samples: int = 10_000


@dataclass(frozen=True)
class SecondHandDistance:
    """Carlini and Wagner's mean distance in the best case, second-hand."""

    undistilled: float
    distilled: float  # at T = 100


@dataclass(frozen=True)
class Published:
    """What the paper publishes for one dataset; empty or None where it gives no number."""

    title: str
    architecture: str
    image_shape: tuple[int, int, int]
    train_images: int
    test_images: int
    success: Mapping[float, float]  # Figure 7
    baseline_success: float  # Figure 7, 'no distillation'
    robustness_gain: float  # Eq. 10, relative to no distillation: 5.56 is +556 %
    baseline_robustness: float | None = None  # Eq. 10, as a share of the features
    robustness: Mapping[float, float] = field(default_factory=dict)
    confidence: Mapping[float, float] = field(default_factory=dict)  # Table III
    baseline_amplitudes: PublishedAmplitudes | None = None
    amplitudes: Mapping[float, PublishedAmplitudes] = field(default_factory=dict)
    second_hand: Mapping[str, SecondHandDistance] = field(default_factory=dict)  # by attack; L∞: 'about equal'

    def success_of(self, network: Evaluation) -> float | None:
        """Figure 7's success rate for the same temperature, None where the paper has none."""
        return _of(network, self.success, self.baseline_success)

    def robustness_of(self, network: Evaluation) -> float | None:
        """Eq. 10 for the same temperature, None where the paper has none."""
        return _of(network, self.robustness, self.baseline_robustness)

    def confidence_of(self, network: Evaluation) -> float | None:
        """Table III's confidence for the same temperature, None where the paper has none."""
        return _of(network, self.confidence, None)

    def amplitudes_of(self, network: Evaluation) -> PublishedAmplitudes | None:
        """Figure 9's counts for the same temperature, None where the paper has none."""
        return _of(network, self.amplitudes, self.baseline_amplitudes)

    def second_hand_distance_of(self, network: Evaluation, attack: str) -> float | None:
        """Carlini and Wagner's mean distance for the same network, second-hand; None where there is none."""
        numbers = self.second_hand.get(attack)
        return _of(network, {SECOND_HAND_TEMPERATURE: numbers.distilled}, numbers.undistilled) if numbers else None


Number = TypeVar("Number")


def _of(network: Evaluation, by_temperature: Mapping[float, Number], baseline: Number | None) -> Number | None:
    """The value for the same network; controls and other defenses are none of the paper's."""
    if is_distilled(network):
        return by_temperature.get(network.temperature)
    return None if network.control or network.defended else baseline


MNIST = Published(
    title="MNIST",
    architecture="papernot_mnist",
    image_shape=(1, 28, 28),
    train_images=60_000,
    test_images=10_000,
    success={1: 0.91, 2: 0.8223, 5: 0.2467, 10: 0.0678, 20: 0.0134, 30: 0.0144, 40: 0.0045, 50: 0.0145, 100: 0.0045},
    baseline_success=0.9589,
    robustness_gain=7.90,
    second_hand={"cw_l2": SecondHandDistance(1.36, 1.7), "cw_l0": SecondHandDistance(8.5, 10)},
)
CIFAR10 = Published(
    title="CIFAR-10",
    architecture="papernot_cifar10",
    image_shape=(3, 32, 32),
    train_images=50_000,
    test_images=10_000,
    success={1: 0.9278, 2: 0.8767, 5: 0.67, 10: 0.4756, 20: 0.1823, 30: 0.1323, 40: 0.0934, 50: 0.0623, 100: 0.0511},
    baseline_success=0.8789,
    robustness_gain=5.56,
    baseline_robustness=0.0039,
    robustness={50: 0.0256},
    confidence={1: 0.7185, 2: 0.7199, 5: 0.7805, 10: 0.8077, 20: 0.8106},
    baseline_amplitudes=PublishedAmplitudes(below_1e_40=8, above_1e_3=4_763),
    amplitudes={100: PublishedAmplitudes(below_1e_40=7_908, above_1e_3=172)},
    second_hand={"cw_l2": SecondHandDistance(0.17, 0.36), "cw_l0": SecondHandDistance(5.9, 7.4)},
)

_BY_NAME = {"mnist": MNIST, "cifar10": CIFAR10}


def published(dataset: DatasetFacts) -> Published | None:
    """The paper's numbers if `dataset` is one of the paper's two, else None.

    Only the originals count, under the names that torchvision's sources give them. A copy of CIFAR-10 in a folder or
    an archive ('cifar10.tar.xz') may hold re-encoded images, so the paper's numbers are not put beside it.
    """
    numbers = _BY_NAME.get(dataset.name)
    return numbers if numbers and numbers.image_shape == dataset.image_shape else None
