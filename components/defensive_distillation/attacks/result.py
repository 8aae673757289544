"""What every attack returns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from torch import Tensor


class StopReason(IntEnum):
    """Why an attack on a sample ended."""

    SUCCESS = 0  # the sample is classified as the target
    BUDGET = 1  # another step would exceed the budget
    NO_PAIR = 2  # no pair of features satisfies the conditions
    ZERO_GRADIENT = 3  # the gradient is exactly zero wherever a feature could move: nothing to climb


@dataclass(frozen=True)
class AttackResult:
    """Adversarial samples and how they came about, in the order of the sources."""

    adversarial: Tensor  # (N, C, H, W), within the box
    success: Tensor  # (N,) bool: classified as the target
    changed_features: Tensor  # (N,) int64: features that differ from the source (L0)
    stop_reason: Tensor  # (N,) int8, values of StopReason
