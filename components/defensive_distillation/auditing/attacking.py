"""The attacks of an audit: who knows the defense goes round the step that hides the gradient."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from defensive_distillation import seeds
from defensive_distillation.attacks.network import reached, samples_at_once
from defensive_distillation.attacks.result import AttackResult, StopReason
from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.evaluation.outcome import Outcome
from defensive_distillation.evaluation.stored_attack import counted, store_attack
from defensive_distillation.networks.architectures import as_input
from defensive_distillation.suite.execution import AttackCall, attack_calls, sample_seeds
from defensive_distillation.suite.registry import attacker


@dataclasses.dataclass(frozen=True)
class Views:
    """One classifier as it is, and as the attackers see it; on one device, in evaluation mode.

    Attributes:
        judged: whose decisions count.
        naive: what an attacker differentiates who does not know the defense.
        adaptive: what one does who knows it.
        given: the classifier as it was given: a random one is another at each call.
    """

    judged: nn.Module
    naive: nn.Module
    adaptive: nn.Module
    given: nn.Module

    def of(self, name: str) -> nn.Module:
        """What the attack called `name` is given."""
        return {"naive": self.naive, "adaptive": self.adaptive}.get(attacker(name), self.judged)


def attacked(
    views: Views,
    dataset: Dataset,
    config: Any,
    temperature: float,
    *,
    device: torch.device,
    on_finished: Callable[[int, int], None],
) -> dict[str, Outcome]:
    """What comes of every attack that `config`, an AttackConfig, names; by name, in the order of the attacks.

    Args:
        views: the classifier.
        dataset: whose test images are attacked.
        config: settings of the attacks.
        temperature: that z/T divides by.
        device: where to compute.
        on_finished: called with samples done and in all.
    """
    seed = seeds.derive(config.seed, "attack")
    calls = list(attack_calls(config, temperature, None))
    pairs = {call.name: call.pairs(dataset, seed) for call in calls}
    total, done = sum(len(sources) for sources, _ in pairs.values()), 0
    outcomes = {}
    for call in calls:
        sources, classes = pairs[call.name]
        outcomes[call.name] = _outcome(
            views,
            call,
            dataset,
            (sources, classes.to(device)),
            seeds_of=sample_seeds(seed, sources),
            batch_size=config.batch_size,
            device=device,
            on_finished=lambda count, before=done: on_finished(before + count, total),  # type: ignore[misc]
        )
        done += len(sources)
        on_finished(done, total)
    return dict(sorted(outcomes.items(), key=lambda item: item[1].attack.order))


def _outcome(
    views: Views,
    call: AttackCall,
    dataset: Dataset,
    pairs: tuple[Tensor, Tensor],
    *,
    seeds_of: Tensor,
    batch_size: int | None,
    device: torch.device,
    on_finished: Callable[[int], None],
) -> Outcome:
    sources, classes = pairs
    model = views.of(call.name)
    images = as_input(dataset.test_images[sources].to(device))
    results = call.results(model, images, classes, seeds=seeds_of, batch_size=batch_size, on_finished=on_finished)
    if model is not views.judged:
        results = [_judged(each, views.judged, classes, call.attack.targeted, batch_size) for each in results]
    stored = store_attack(dataset.test_images, sources, classes.cpu(), results, dense=call.attack.dense)
    return Outcome(counted(call.facts, stored), stored)


@torch.no_grad()
def _judged(
    result: AttackResult, judged: nn.Module, classes: Tensor, targeted: bool, batch_size: int | None
) -> AttackResult:
    """The result with the decisions of the network that counts, instead of those that the attack saw."""
    size = samples_at_once(batch_size, result.adversarial)
    success = torch.cat(
        [
            reached(judged(images), of, targeted=targeted)
            for images, of in zip(result.adversarial.split(size), classes.split(size), strict=True)
        ]
    )
    missed = torch.where(result.stop_reason == StopReason.SUCCESS, int(StopReason.BUDGET), result.stop_reason)
    reason = torch.where(success, int(StopReason.SUCCESS), missed).to(torch.int8)
    return dataclasses.replace(result, success=success, stop_reason=reason)
