"""What every attack returns."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

import torch
from torch import Tensor


class StopReason(IntEnum):
    """Why an attack on a sample ended."""

    SUCCESS = 0  # the sample is classified as was wanted
    BUDGET = 1  # the steps, queries or features that it was given are spent
    NO_PAIR = 2  # JSMA: no pair of features satisfies the conditions
    ZERO_GRADIENT = 3  # the gradient is exactly zero wherever a feature could move: nothing to climb
    NOT_TRANSFERRED = 4  # the sample fools the network that it was made on, not this one


def success_or_budget(success: Tensor) -> Tensor:
    """Stop reasons (N,) int8 of an attack that ends for no other reason than these two."""
    return torch.where(success, int(StopReason.SUCCESS), int(StopReason.BUDGET)).to(torch.int8)


@dataclass(frozen=True)
class AttackResult:
    """Adversarial samples and how they came about, in the order of the sources. All tensors on the images' device."""

    adversarial: Tensor  # (N, C, H, W), within the box
    success: Tensor  # (N,) bool: classified as the target, or untargeted, as any other class
    changed_features: Tensor  # (N,) int64: features that differ from the source (L0)
    stop_reason: Tensor  # (N,) int8, values of StopReason
    changed_pixels: Tensor  # (N,) int64: pixels of which any channel differs, C&W's L0
    l2: Tensor  # (N,) Euclidean distance from the source
    linf: Tensor  # (N,) largest change of a feature
    gradient_evaluations: Tensor  # (N,) int64: backward passes that were spent on the sample

    @classmethod
    def of(
        cls,
        images: Tensor,
        adversarial: Tensor,
        success: Tensor,
        stop_reason: Tensor,
        gradient_evaluations: Tensor,
    ) -> AttackResult:
        """The result with its distances from the sources `images` (N, C, H, W)."""
        moved = (adversarial - images).detach()
        changed = moved != 0
        return cls(
            adversarial=adversarial.detach(),
            success=success,
            changed_features=changed.flatten(1).sum(1),
            stop_reason=stop_reason,
            changed_pixels=changed.any(dim=1).flatten(1).sum(1),
            l2=moved.flatten(1).norm(dim=1),
            linf=moved.flatten(1).abs().amax(dim=1),
            gradient_evaluations=gradient_evaluations,
        )

    @classmethod
    def none(cls, images: Tensor) -> AttackResult:
        """Of no images (0, C, H, W)."""
        nothing = torch.zeros(0, dtype=torch.int64, device=images.device)
        return cls.of(images, images.clone(), nothing.bool(), nothing.to(torch.int8), nothing)

    def rows(self, chosen: Tensor) -> AttackResult:
        """Of some sources, by their numbers (M,)."""
        return AttackResult(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    @classmethod
    def joined(cls, parts: list[AttackResult]) -> AttackResult:
        """The results of several batches as one."""
        return cls(**{field.name: torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)})
