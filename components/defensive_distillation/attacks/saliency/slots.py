"""JSMA for devices that must not be waited for: a batch of slots that never changes its shape.

A GPU is told what to do long before it does it, as long as nobody asks for a result. So every slot takes its step
whether it ends or not, and one that has ended takes the next sample by an index that is computed on the device. The
host looks only at every `INTERVAL`-th step. The steps in between are recorded once and replayed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from defensive_distillation.attacks.network import asked, logits_of
from defensive_distillation.attacks.pair_search import best_pair_of_few
from defensive_distillation.attacks.result import AttackResult
from defensive_distillation.attacks.saliency.step import MOVES, Attempts, Pairs, preferred_pair
from defensive_distillation.networks.kernels.cuda_graph import repeated

INTERVAL = 8  # steps between two looks
FEW = 256  # slots with which a step takes no longer than with fewer


class Slots:
    """N samples on their way through `size` slots; the last row of each tensor belongs to idle slots."""

    def __init__(self, attempts: Attempts, size: int) -> None:
        self.attempts, self.count, device = attempts, len(attempts.images), attempts.images.device
        self.source, self.targets, self.goals = (
            torch.cat((of_each, of_each[:1]))  # (N + 1, D), (N + 1,), (N + 1,)
            for of_each in (attempts.images.detach().flatten(1), attempts.targets, attempts.goals)
        )
        self.x = self.source.clone()
        self.reason = torch.full((self.count + 1,), MOVES, dtype=torch.int8, device=device)
        self.spent = torch.zeros(self.count + 1, dtype=torch.int64, device=device)
        self.rows = torch.arange(min(size, self.count), device=device)  # the sample in each slot, N in an idle one
        self.waiting = torch.full((), len(self.rows), device=device)  # the first sample that has had no slot

    def step(self, *, looked_at: bool) -> None:
        """One step of every slot, with the checks of `logits_of` and the search that copes with all if `looked_at`.

        The other search knows the best pair only where few features come into question; a slot of which it does not
        waits for the next step that is looked at.
        """
        rows, model = self.rows, self.attempts.model
        x, target = self.x[rows], self.targets[rows]
        forward = functools.partial(logits_of if looked_at else asked, model)
        search = preferred_pair if looked_at else _pair_of_few
        step = self.attempts.step(forward, x, self.source[rows], target, self.goals[rows], search)
        # a logit that is not finite ends nothing: the next step that is looked at says so
        known = (step.known | step.reached) & step.logits.isfinite().all(dim=1)
        self.spent[rows] += known * step.passes
        moving = known & (step.reason == MOVES)
        self.x[rows] = torch.where(moving[:, None], step.moved, x)
        ended = known & (step.reason != MOVES) & (rows < self.count)
        self.reason[rows] = torch.where(ended, step.reason, self.reason[rows])
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
        reason, images = self.reason[:-1], self.attempts.images
        return AttackResult.of(images, self.x[:-1].view_as(images), reason == 0, reason, self.spent[:-1])


def climb_in_slots(
    attempts: Attempts, *, size: int, on_finished: Callable[[int], None] | None, interval: int = INTERVAL
) -> AttackResult:
    """Takes step after step until all attempts have ended, with at most `size` samples in the network at once."""
    slots, ended = Slots(attempts, size), 0
    step = _between_looks(slots)
    while ended < slots.count:
        slots.step(looked_at=True)
        for _ in range(interval - 1):
            step()
        before, ended = ended, slots.look()
        if on_finished and ended > before:
            on_finished(ended)
        if len(slots.rows) > FEW and 2 * (slots.count - ended) <= len(slots.rows):  # half of them idle
            slots.give_up_idle()
            step = _between_looks(slots)
    return slots.result()


def _between_looks(slots: Slots) -> Callable[[], None]:
    model, device = slots.attempts.model, slots.attempts.images.device
    return repeated(functools.partial(slots.step, looked_at=False), model, device)


def _pair_of_few(alpha: Tensor, beta: Tensor | None, allowed: Tensor, theta: float) -> Pairs:
    """`preferred_pair` where few features come into question, without a wait for any result."""
    if beta is None:
        return preferred_pair(alpha, beta, allowed, theta)
    p, q, valid, known = best_pair_of_few(alpha, beta, allowed, increase=theta > 0)
    return torch.stack((p, q), dim=1), valid, known
