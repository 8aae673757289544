"""What an attack left behind of each pair of source and target, in a form that is small and exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from defensive_distillation.attacks.result import AttackResult, StopReason
from defensive_distillation.datasets.dataset import to_unit_interval
from defensive_distillation.networks.architectures import as_input


@dataclass(frozen=True)
class StoredAttack:
    """One run of an attack: pairs of source and target, and what came of each.

    An attack that was run at several levels (radii, or confidences) has its nearest success here, or its last failure;
    `level_reasons` and `level_l2` tell of every level.

    Of a sparse attack only the features that changed are stored, with their new values; of a dense one all features,
    and `feature` is empty. Values are uint8 where every one is a whole number of 255ths (θ = ±1 on 8-bit images), else
    float32: equal to the adversarial images either way.
    """

    source_index: Tensor  # (P,) int64 into the dataset's test images
    target_class: Tensor  # (P,) int64; of an untargeted attack the true class, which is to be left
    success: Tensor  # (P,) bool
    changed_features: Tensor  # (P,) int32
    changed_pixels: Tensor  # (P,) int32
    l2: Tensor  # (P,) float32
    linf: Tensor  # (P,) float32
    stop_reason: Tensor  # (P,) int8
    gradient_evaluations: Tensor  # (P,) int32, of all levels together
    level_reasons: Tensor  # (P, L) int8, stop reason at each level; L = 0 for an attack without levels
    level_l2: Tensor  # (P, L) float32
    offset: Tensor  # (P + 1,) int64: the values of pair i are value[offset[i]:offset[i+1]]
    feature: Tensor  # (M,) int32, index into the flattened image; (0,) where all are stored
    value: Tensor  # (M,) uint8 or float32

    def tensors(self) -> dict[str, Tensor]:
        """As named tensors."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @property
    def dense(self) -> bool:
        """Whether all features of each sample are stored."""
        return len(self.feature) < len(self.value)

    def only(self, kept: Tensor) -> StoredAttack:
        """The pairs where `kept` (P,) bool says so."""
        lengths = self.offset.diff()
        values = kept.repeat_interleave(lengths)
        chosen = {
            name: getattr(self, name)[kept]
            for name in self.__dataclass_fields__
            if name not in ("offset", "feature", "value")
        }
        return StoredAttack(
            **chosen,
            offset=torch.nn.functional.pad(lengths[kept].cumsum(0), (1, 0)),
            feature=self.feature if self.dense else self.feature[values],
            value=self.value[values],
        )

    def adversarial(self, test_images: Tensor, pairs: Tensor) -> Tensor:
        """The adversarial images (len(pairs), C, H, W) of some pairs, in the type of `value`."""
        images = test_images[self.source_index[pairs]]
        if self.dense:
            return torch.stack([self.value[self.offset[i] : self.offset[i + 1]] for i in pairs]).view_as(images)
        if self.value.is_floating_point():
            images = as_input(images)
        flat = images.flatten(1).clone()
        for row, pair in enumerate(pairs.tolist()):
            changes = slice(int(self.offset[pair]), int(self.offset[pair + 1]))
            flat[row, self.feature[changes].long()] = self.value[changes]
        return flat.view_as(images)


def store_attack(
    test_images: Tensor, source_index: Tensor, target_class: Tensor, levels: Sequence[AttackResult], *, dense: bool
) -> StoredAttack:
    """What an attack on `test_images[source_index]` gave at each level, or as the one result it has.

    Args:
        test_images: (N, C, H, W) uint8; (N, ...) float32 of what is no image.
        source_index: (P,).
        target_class: (P,).
        levels: one result for each level, rising; a single one for an attack without levels.
        dense: whether all features are stored, or those that changed.
    """
    sources = as_input(test_images[source_index]).flatten(1)
    reasons = torch.stack([result.stop_reason.cpu() for result in levels], dim=1)  # (P, L)
    successes = torch.stack([result.success.cpu() for result in levels], dim=1)
    # argmax of int8 gives the first of the largest
    nearest = torch.where(successes.any(1), successes.to(torch.int8).argmax(1), len(levels) - 1)
    rows = torch.arange(len(source_index))

    def chosen(name: str) -> Tensor:
        return torch.stack([getattr(result, name).cpu() for result in levels])[nearest, rows]

    adversarial = chosen("adversarial").flatten(1)
    changed = torch.ones_like(sources, dtype=torch.bool) if dense else adversarial != sources
    pair, feature = changed.nonzero(as_tuple=True)
    value = adversarial[pair, feature]
    whole = (value * 255).round().to(torch.uint8)
    exact = test_images.dtype == torch.uint8 and bool((to_unit_interval(whole) == value).all())
    several = len(levels) if len(levels) > 1 else 0
    return StoredAttack(
        source_index=source_index,
        target_class=target_class,
        success=chosen("success"),
        changed_features=chosen("changed_features").int(),
        changed_pixels=chosen("changed_pixels").int(),
        l2=chosen("l2").float(),
        linf=chosen("linf").float(),
        stop_reason=chosen("stop_reason"),
        gradient_evaluations=torch.stack([result.gradient_evaluations.cpu() for result in levels]).sum(0).int(),
        level_reasons=reasons[:, :several],
        level_l2=torch.stack([result.l2.cpu().float() for result in levels], dim=1)[:, :several],
        offset=torch.nn.functional.pad(changed.sum(1).cumsum(0), (1, 0)),
        feature=torch.zeros(0, dtype=torch.int32) if dense else feature.int(),
        value=whole if exact else value,
    )


def counted(facts: Mapping[str, Any], stored: StoredAttack) -> dict[str, Any]:
    """What is told of an attack (suite.execution.AttackCall.facts), and what became of how many pairs."""
    reasons = torch.bincount(stored.stop_reason.long(), minlength=len(StopReason)).tolist()
    return {
        **facts,
        "pairs": len(stored.success),
        "successes": int(stored.success.sum()),
        "stop_reasons": {reason.name.lower(): reasons[reason] for reason in StopReason},
    }


def join_attacks(parts: Sequence[StoredAttack]) -> StoredAttack:
    """Parts of one run, in order, as one."""
    float_values = any(part.value.is_floating_point() for part in parts)
    values = [to_unit_interval(p.value) if float_values and p.value.dtype == torch.uint8 else p.value for p in parts]
    starts = [torch.zeros(1, dtype=torch.int64)]
    total = 0
    for part in parts:
        starts.append(part.offset[1:] + total)
        total += int(part.offset[-1])
    joined = {
        name: torch.cat([getattr(part, name) for part in parts])
        for name in StoredAttack.__dataclass_fields__
        if name not in ("offset", "value")
    }
    return StoredAttack(**joined, offset=torch.cat(starts), value=torch.cat(values))
