"""What came of one attack on one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from defensive_distillation.attacks.result import StopReason
from defensive_distillation.evaluation.stored_attack import StoredAttack, counted
from defensive_distillation.suite.registry import ATTACKS
from defensive_distillation.suite.specification import Attack


@dataclass(frozen=True)
class Outcome:
    """What an artifact's manifest says of a variant of an attack, and its samples."""

    facts: Mapping[str, Any]
    samples: StoredAttack
    misclassified: int = 0  # sources that were left out, since the network classifies them wrong without an attack
    in_eight_bits: float | None = None  # share of the successes that hold when saved (eight_bits.py); None: unknown

    @property
    def name(self) -> str:
        """'jsma/logits', 'pgd/margin', 'cw_l2' and so on."""
        return str(self.facts["name"])

    @property
    def attack(self) -> Attack:
        """The attack's specification."""
        return ATTACKS[self.facts["attack"]]

    @property
    def variant(self) -> str:
        """What was differentiated: 'logits', 'margin' and so on; '' where the attack has one variant."""
        return str(self.facts["variant"])

    @property
    def at_training_temperature(self) -> bool:
        """Whether z/T was attacked."""
        return any(one.key == self.variant and one.at_training_temperature for one in self.attack.variants)

    @property
    def levels(self) -> tuple[float, ...]:
        """Radii or confidences, rising; none for an attack without levels."""
        return tuple(self.facts["levels"])

    @property
    def reasons(self) -> Tensor:
        """Stop reasons by sample and level (P, L); one level where the attack knows none."""
        levels = self.samples.level_reasons
        return levels if levels.shape[1] else self.samples.stop_reason[:, None]

    @property
    def successes(self) -> Tensor:
        """Success of the attack by sample and level (P, L) bool, each level for itself."""
        return self.reasons == StopReason.SUCCESS

    @property
    def distance(self) -> Tensor:
        """Distance of each sample in the attack's own measure (P,) float64, infinite where it failed."""
        samples = self.samples
        own = {
            "budget": samples.changed_features,
            "ball": samples.linf,
            "transfer": samples.l2,
            "distance": {"l0": samples.changed_pixels, "l2": samples.l2, "linf": samples.linf}.get(
                self.facts["arguments"].get("norm", "")
            ),
        }[self.attack.family]
        assert own is not None
        return torch.where(samples.success, own.double(), torch.inf)

    @property
    def by_pair(self) -> dict[str, Tensor]:
        """What is kept of each pair, to compare networks by: source, target, success and distance, (P,) each."""
        return {
            "source": self.samples.source_index.int(),
            "target": self.samples.target_class.int(),
            "success": self.samples.success,
            "distance": self.distance.float(),
        }


def on_right_ones(outcomes: Mapping[str, Outcome], correct: Tensor) -> dict[str, Outcome]:
    """The attacks on images that the network classifies right: what is wrong from the start cannot be fooled.

    Attacks within balls keep those that all of them were given, so that their rates compare. An attack without any such
    image is left out.

    Args:
        outcomes: by name.
        correct: (N,) bool, whether each test image is classified right.
    """
    shared = torch.zeros_like(correct)
    shared[common_sources([outcome for outcome in outcomes.values() if outcome.attack.family == "ball"])] = True
    right = {}
    for name, outcome in outcomes.items():
        sources = outcome.samples.source_index
        given = shared[sources] if outcome.attack.family == "ball" else torch.ones_like(sources, dtype=torch.bool)
        kept = given & correct[sources]
        if bool(kept.any()):
            samples = outcome.samples.only(kept)
            wrong = len(sources[given & ~correct[sources]].unique())
            right[name] = Outcome(counted(outcome.facts, samples), samples, misclassified=wrong)
    return right


def common_sources(outcomes: Sequence[Outcome]) -> Tensor:
    """The test images that every attack was given, ascending; their indices (S,)."""
    if not outcomes:
        return torch.zeros(0, dtype=torch.int64)
    common = set(outcomes[0].samples.source_index.tolist())
    for outcome in outcomes[1:]:
        common &= set(outcome.samples.source_index.tolist())
    return torch.tensor(sorted(common), dtype=torch.int64)


def successes_at(outcome: Outcome, level: float) -> Tensor:
    """Success at one level, (P,) bool."""
    return outcome.successes[:, outcome.levels.index(level)]
