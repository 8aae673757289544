"""JSMA for a CPU: a batch that a sample leaves as it ends, and the next takes its place."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

from defensive_distillation.attacks.network import logits_of
from defensive_distillation.attacks.result import AttackResult
from defensive_distillation.attacks.saliency.step import MOVES, Attempts, preferred_pair
from defensive_distillation.networks.kernels.remembered import Remembering


def climb_in_batch(attempts: Attempts, *, size: int, on_finished: Callable[[int], None] | None) -> AttackResult:
    """Takes step after step until all attempts have ended, with at most `size` samples in the network at once."""
    images, count = attempts.images, len(attempts.images)
    adversarial = images.detach().clone().flatten(1)
    success = torch.zeros(count, dtype=torch.bool)
    stop_reason = torch.zeros(count, dtype=torch.int8)
    spent = torch.zeros(count, dtype=torch.int64)
    active = torch.arange(min(size, count))  # samples in the network, by their place above
    waiting = len(active)
    network = Remembering(attempts.model)
    forward = functools.partial(logits_of, network)
    while len(active):
        x, source, target = adversarial[active], images[active].flatten(1), attempts.targets[active]
        step = attempts.step(forward, x, source, target, attempts.goals[active], preferred_pair)
        spent[active] += step.passes
        moving = step.reason == MOVES
        adversarial[active[moving]] = step.moved[moving]
        places = (~moving).nonzero().squeeze(1)  # of those that have ended
        if len(places):
            ended = active[places]
            stop_reason[ended] = step.reason[places]
            success[ended] = step.reached[places]
            following = torch.arange(waiting, min(waiting + len(ended), count))
            waiting += len(following)
            # each in the place of one that has ended: the network remembers the others by their places
            taken = places[: len(following)]
            active[taken] = following
            if len(following) < len(ended):
                moving[taken] = True
                active = active[moving]
                network.keep(moving)
            if on_finished:
                on_finished(waiting - len(active))
    return AttackResult.of(images, adversarial.view_as(images), success, stop_reason, spent)
