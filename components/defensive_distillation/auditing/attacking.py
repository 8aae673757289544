"""The attacks of an audit, one after another, on a network that lies in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from defensive_distillation import seeds
from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.evaluation.outcome import Outcome
from defensive_distillation.evaluation.stored_attack import counted, store_attack
from defensive_distillation.networks.architectures import as_input
from defensive_distillation.networks.views import Views
from defensive_distillation.suite.execution import AttackCall, attack_calls, sample_seeds


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
    images = as_input(dataset.test_images[sources].to(device))
    results = call.results(views, images, classes, seeds=seeds_of, batch_size=batch_size, on_finished=on_finished)
    stored = store_attack(dataset.test_images, sources, classes.cpu(), results, dense=call.attack.dense)
    return Outcome(counted(call.facts, stored), stored)
