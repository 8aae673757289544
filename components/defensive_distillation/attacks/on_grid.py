"""The last step of an attack on images of 8 bits: its samples on the grid of 256 values, where they can be saved.

Papers measure distances of real numbers; a sample that ends on the decision boundary does not survive being saved as an
image. So every value is rounded, within the attack's ball and among the features that it changed, and who is not
adversarial any more is moved by steps of 1/255 until they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.network import (
    gradient_of,
    in_single,
    logits_of,
    margin,
    reached,
    samples_at_once,
)
from defensive_distillation.attacks.result import AttackResult, StopReason

LEVELS = 255  # steps from black to white
_ROUNDS = 8  # gradients that are spent on a sample, and the most steps that a feature takes
_SHARES = (1 / 64, 1 / 16, 1 / 4, 1.0)  # of the features that can move, those of the steepest gradient first


@dataclass(frozen=True, eq=False)
class Grid:
    """How the samples of an attack on images (N, C, H, W) of 8 bits in [0, 1] come to the grid.

    Attributes:
        judged: the network whose decisions count.
        differentiated: the one whose gradient says which way, as the attacker sees it; None for one who takes none.
        targeted: whether the classes are to be reached, or left.
        epsilon: radius of the attack's L∞ ball; None without one.
        sparse: whether only the features that the attack changed may move.
    """

    judged: nn.Module
    differentiated: nn.Module | None
    targeted: bool
    epsilon: float | None
    sparse: bool

    @torch.no_grad()
    def rounded(self, result: AttackResult, images: Tensor, classes: Tensor, *, batch_size: int | None) -> AttackResult:
        """The result with samples on the grid, by the decisions of `judged` on these; a repair's gradients count."""
        size = samples_at_once(batch_size, images)
        parts = [
            self._on_grid(*batch)
            for batch in zip(
                *(each.split(size) for each in (images, classes, result.adversarial, result.success)), strict=True
            )
        ]
        grid, success, spent = (torch.cat(each) for each in zip(*parts, strict=True))
        missed = torch.where(result.stop_reason == StopReason.SUCCESS, int(StopReason.BUDGET), result.stop_reason)
        reason = torch.where(success, int(StopReason.SUCCESS), missed).to(torch.int8)
        return AttackResult.of(images, grid / LEVELS, success, reason, result.gradient_evaluations + spent)

    def _on_grid(
        self, images: Tensor, classes: Tensor, adversarial: Tensor, succeeded: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The samples in whole steps (N, C, H, W), whether they succeed and the gradients spent, both (N,)."""
        source, wanted = (images * LEVELS).round(), adversarial * LEVELS
        reach = LEVELS if self.epsilon is None else math.floor(self.epsilon * LEVELS + 1e-6)
        moves = (adversarial != images) | (not self.sparse)
        low = torch.where(moves, (source - reach).clamp(min=0), source)
        high = torch.where(moves, (source + reach).clamp(max=LEVELS), source)
        grid = wanted.round().clamp(low, high)
        success, spent = self._reached(grid, classes), torch.zeros_like(classes)
        lost = (succeeded & ~success).nonzero().squeeze(1)
        if len(lost) and self.differentiated is None:
            away = source + (wanted - source).sign() * (wanted - source).abs().ceil()
            grid[lost] = away.clamp(low, high)[lost]
            success[lost] = self._reached(grid[lost], classes[lost])
        elif len(lost):
            grid[lost], success[lost], spent[lost] = self._repaired(grid[lost], classes[lost], low[lost], high[lost])
        return grid, success, spent

    def _repaired(self, grid: Tensor, classes: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Who is moved against the margin's gradient, by as few features as suffice; the same of each sample."""
        grid, success, spent = grid.clone(), torch.zeros_like(classes, dtype=torch.bool), torch.zeros_like(classes)
        for _ in range(_ROUNDS):
            rest = (~success).nonzero().squeeze(1)
            if not len(rest):
                break
            spent[rest] += 1
            start, gradient = grid[rest], self._gradient(grid[rest], classes[rest])
            there = (start - gradient.sign()).clamp(low[rest], high[rest])
            rank, count = _steepest_first(gradient, there != start)
            for share in _SHARES:
                open_ = (~success[rest]).nonzero().squeeze(1)
                most = (share * count[open_]).ceil()[:, None, None, None]
                candidate = torch.where(rank[open_] < most, there[open_], start[open_])
                grid[rest[open_]], success[rest[open_]] = candidate, self._reached(candidate, classes[rest[open_]])
                if bool(success[rest].all()):
                    break
        return grid, success, spent

    def _reached(self, grid: Tensor, classes: Tensor) -> Tensor:
        return reached(logits_of(self.judged, grid / LEVELS), classes, targeted=self.targeted)

    def _gradient(self, grid: Tensor, classes: Tensor) -> Tensor:
        """Of the margin, (N, C, H, W)."""
        assert self.differentiated is not None
        images = (grid / LEVELS).requires_grad_()
        with torch.enable_grad():
            logits = in_single(logits_of(self.differentiated, images))
            return gradient_of(margin(logits, classes, targeted=self.targeted).sum(), images)


def _steepest_first(gradient: Tensor, movable: Tensor) -> tuple[Tensor, Tensor]:
    """The rank of each feature by the size of its gradient, those that cannot move last, and how many can (N,)."""
    steepness = torch.where(movable, gradient.abs(), -1.0).flatten(1)
    order = steepness.argsort(dim=1, descending=True, stable=True)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(1, order, places).view_as(gradient)
    return torch.where(movable, rank, order.shape[1]), movable.flatten(1).sum(1)
