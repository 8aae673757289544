"""JSMA for devices that must not be waited for: a batch of slots that never changes its shape.

A GPU is told what to do long before it does it, as long as nobody asks for a result. So every slot takes its step
whether it ends or not, and one that has ended takes the next sample by an index that is computed on the device. The
host looks only at every `INTERVAL`-th step. The steps in between are recorded once and replayed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.network import logits_of
from defensive_distillation.attacks.network import reached as goal_reached
from defensive_distillation.attacks.pair_search import best_pair_of_few
from defensive_distillation.attacks.result import AttackResult
from defensive_distillation.attacks.saliency.step import MOVES, moved, preferred_pair, saliency, search_domain, verdicts
from defensive_distillation.networks.kernels.cuda_graph import repeated

INTERVAL = 8  # steps between two looks
FEW = 256  # slots with which a step takes no longer than with fewer


@dataclass(frozen=True)
class Climb:
    """What every sample is told."""

    theta: float
    max_features: int
    output: str
    temperature: float
    clip: tuple[float, float]


class Slots:
    """Samples (N, C, H, W) on their way through `size` slots; the last row of each tensor belongs to idle slots."""

    def __init__(
        self, model: nn.Module, images: Tensor, targets: Tensor, labels: Tensor | None, climb: Climb, size: int
    ) -> None:
        self.model, self.climb, self.images, self.labels = model, climb, images, labels
        self.count, device = len(images), images.device
        flat = images.detach().flatten(1)
        self.source = torch.cat((flat, flat[:1]))  # (N + 1, D)
        self.x = self.source.clone()
        self.targets = torch.cat((targets, targets[:1]))
        self.goals = self.targets if labels is None else torch.cat((labels, labels[:1]))
        self.reason = torch.full((self.count + 1,), MOVES, dtype=torch.int8, device=device)
        self.spent = torch.zeros(self.count + 1, dtype=torch.int64, device=device)
        self.rows = torch.arange(min(size, self.count), device=device)  # the sample in each slot, N in an idle one
        self.waiting = torch.full((), len(self.rows), device=device)  # the first sample that has had no slot

    def step(self, *, looked_at: bool) -> None:
        """One step of every slot, with the checks of `logits_of` and the search that copes with all if `looked_at`.

        The other search knows the best pair only where few features come into question; a slot of which it does not
        waits for the next step that is looked at.
        """
        rows, climb = self.rows, self.climb
        x, target = self.x[rows], self.targets[rows]
        forward = (lambda images: logits_of(self.model, images, target)) if looked_at else self.model
        logits, alpha, beta = saliency(
            forward, x.view(-1, *self.images.shape[1:]), target, climb.output, climb.temperature
        )
        reached = goal_reached(logits, self.goals[rows], targeted=self.labels is None)
        allowed = search_domain(x, climb.theta, climb.clip)
        known = torch.ones_like(reached)
        if beta is None or looked_at:
            pair, valid = preferred_pair(alpha, beta, allowed, climb.theta)
        else:
            p, q, valid, known = best_pair_of_few(alpha, beta, allowed, increase=climb.theta > 0)
            pair = torch.stack((p, q), dim=1)
        reason = verdicts(x, self.source[rows], pair, valid, reached, alpha, beta, allowed, climb.max_features)
        # a logit that is not finite ends nothing: the next step that is looked at says so
        known = (known | reached) & logits.isfinite().all(dim=1)
        self.spent[rows] += known * (1 if beta is None else 2)
        moving = known & (reason == MOVES)
        self.x[rows] = torch.where(moving[:, None], moved(x, pair, climb.theta, climb.clip), x)
        ended = known & (reason != MOVES) & (rows < self.count)
        self.reason[rows] = torch.where(ended, reason, self.reason[rows])
        following = (self.waiting + ended.cumsum(0) - 1).clamp(max=self.count)
        # in place, as everything above: a recorded step knows its tensors by their addresses
        rows.copy_(torch.where(ended, following, rows))
        self.waiting += ended.sum()

    def look(self) -> int:
        """How many samples have ended."""
        return min(int(self.waiting), self.count) - int((self.rows < self.count).sum())

    def give_up_idle(self) -> None:
        """Leaves the slots that are idle for good, in another shape."""
        self.rows = self.rows[self.rows < self.count]

    def result(self) -> AttackResult:
        """Of all samples, once all have ended."""
        reason = self.reason[:-1]
        adversarial = self.x[:-1].view_as(self.images)
        return AttackResult.of(self.images, adversarial, reason == 0, reason, self.spent[:-1])


def climb_in_slots(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    labels: Tensor | None,
    on_finished: Callable[[int], None] | None,
    *,
    climb: Climb,
    size: int,
    interval: int = INTERVAL,
) -> AttackResult:
    """Towards `targets`, until they are reached, or `labels`, if given, are left."""
    slots, ended = Slots(model, images, targets, labels, climb, size), 0
    step = _between_looks(slots)
    while ended < len(images):
        slots.step(looked_at=True)
        for _ in range(interval - 1):
            step()
        before, ended = ended, slots.look()
        if on_finished and ended > before:
            on_finished(ended)
        if len(slots.rows) > FEW and 2 * (len(images) - ended) <= len(slots.rows):  # half of them idle
            slots.give_up_idle()
            step = _between_looks(slots)
    return slots.result()


def _between_looks(slots: Slots) -> Callable[[], None]:
    return repeated(functools.partial(slots.step, looked_at=False), slots.model, slots.images.device)
