"""The attacks that settings ask for, ready to be called: on which images, with which arguments, at which levels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.network import logits_of, reached, samples_at_once
from defensive_distillation.attacks.on_grid import Grid
from defensive_distillation.attacks.result import AttackResult, StopReason
from defensive_distillation.attacks.transfer import shown
from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.datasets.sampling import stratified_order
from defensive_distillation.networks.views import Views
from defensive_distillation.suite.registry import ATTACKS, attacker
from defensive_distillation.suite.specification import Attack, Variant


@dataclass(frozen=True)
class AttackCall:
    """One variant of an attack with its arguments.

    Attributes:
        attack: its specification.
        name: 'jsma/logits', 'noise' and so on; one of a kind in a model's evaluation.
        facts: what stands in the artifact's manifest about it.
        sources: how many test images are attacked.
        targets: towards how many other classes each; None for every other class.
        levels: radii or confidences, rising.
        arguments: of the function.
        on_grid: whether a last step brings the samples to the grid of 256 values.
    """

    attack: Attack
    name: str
    facts: Mapping[str, Any]
    sources: int
    targets: int | None
    levels: tuple[float, ...]
    arguments: Mapping[str, Any]
    on_grid: bool = False

    def results(
        self,
        views: Views,
        images: Tensor,
        classes: Tensor,
        *,
        seeds: Tensor,
        batch_size: int | None,
        on_finished: Callable[[int], None],
        crafted: Sequence[AttackResult] | None = None,
    ) -> list[AttackResult]:
        """The result at each level, or the one that there is, by the decisions of the network that counts.

        Args:
            views: the network, as it is and as this attack's attacker sees it.
            images: (P, C, H, W).
            classes: (P,).
            seeds: (P,) int64.
            batch_size: samples at once.
            on_finished: called with the number of samples that are done, as a mean over the levels.
            crafted: samples of these images that were crafted on another network, at each level (`crafting_calls`).
        """
        model, function = views.of_attacker(attacker(self.name)), _function(self.attack.function)
        options: dict[str, Any] = {**self.arguments, "batch_size": batch_size}
        if self.attack.random:
            options["seeds"] = seeds
        if crafted is not None:
            results = [shown(model, images, classes, one, batch_size=batch_size) for one in crafted]
        elif not self.attack.level:
            results = [function(model, images, classes, on_finished=on_finished, **options)]
        else:
            results = []
            for number, level in enumerate(self.levels):
                results.append(function(model, images, classes, **{self.attack.level: level}, **options))
                on_finished(len(images) * (number + 1) // len(self.levels))
        if self.on_grid:
            return self._on_grid(results, views, images, classes, batch_size)
        if model is views.judged:
            return results
        return [_judged(each, views.judged, classes, self.attack.targeted, batch_size) for each in results]

    def _on_grid(
        self, results: Sequence[AttackResult], views: Views, images: Tensor, classes: Tensor, batch_size: int | None
    ) -> list[AttackResult]:
        """The results with samples of 8 bits, within the ball of each level, if there are balls."""
        who, in_balls = attacker(self.name), self.attack.family == "ball"
        differentiated = None if who == "gradient-free" else views.of_attacker(who)
        return [
            Grid(
                judged=views.judged,
                differentiated=differentiated,
                targeted=self.attack.targeted,
                epsilon=self.levels[number] if in_balls else None,
                sparse=not self.attack.dense,
            ).rounded(result, images, classes, batch_size=batch_size)
            for number, result in enumerate(results)
        ]

    def pairs(self, dataset: Dataset, seed: int) -> tuple[Tensor, Tensor]:
        """Test images and classes (P,), (P,): each source towards other classes, or untargeted, its own class.

        Which classes are drawn for a source depends on `seed` and the source alone.
        """
        order = stratified_order(dataset.test_labels, torch.Generator().manual_seed(seed))
        chosen = order[: self.sources].sort().values
        labels = dataset.test_labels[chosen]
        if not self.attack.targeted:
            return chosen, labels
        if self.targets is not None and self.targets < dataset.num_classes - 1:
            drawn = _drawn(labels, dataset.num_classes, self.targets, sample_seeds(seed, chosen))
            return chosen.repeat_interleave(self.targets), drawn.flatten()
        target = torch.arange(dataset.num_classes).repeat(len(chosen), 1)
        other = target != labels[:, None]
        return chosen[:, None].expand_as(target)[other], target[other]


def _drawn(labels: Tensor, classes: int, count: int, seeds: Tensor) -> Tensor:
    """`count` classes other than the label of each (S,), rising, by a seed of each; (S, count)."""
    rows = []
    for label, seed in zip(labels.tolist(), seeds.tolist(), strict=True):
        others = torch.randperm(classes - 1, generator=torch.Generator().manual_seed(seed))[:count].sort().values
        rows.append(others + (others >= label))
    return torch.stack(rows)


@torch.no_grad()
def _judged(
    result: AttackResult, judged: nn.Module, classes: Tensor, targeted: bool, batch_size: int | None
) -> AttackResult:
    """The result with the decisions of the network that counts, instead of those that the attack saw."""
    size = samples_at_once(batch_size, result.adversarial)
    success = torch.cat(
        [
            reached(logits_of(judged, images), of, targeted=targeted)
            for images, of in zip(result.adversarial.split(size), classes.split(size), strict=True)
        ]
    )
    missed = torch.where(result.stop_reason == StopReason.SUCCESS, int(StopReason.BUDGET), result.stop_reason)
    reason = torch.where(success, int(StopReason.SUCCESS), missed).to(torch.int8)
    return replace(result, success=success, stop_reason=reason)


def sample_seeds(seed: int, sources: Tensor) -> Tensor:
    """The seed of each source (P,), wherever among others it is attacked, from that of the attacks; int64."""
    return seed // 2 + sources


def attack_calls(config: Any, temperature: float, surrogate: nn.Module | None) -> Iterator[AttackCall]:
    """Every call of the attacks that `config` names, the quick ones first.

    Args:
        config: of the stage, an AttackConfig.
        temperature: T that z/T divides by.
        surrogate: the undefended network, for attacks that need it.
    """
    for attack in sorted((ATTACKS[name] for name in config.attacks), key=lambda one: one.effort):
        for variant in attack.variants_of(config):
            yield _call(attack, variant, config, temperature, surrogate)


def crafting_calls(config: Any) -> Iterator[AttackCall]:
    """Calls that craft the samples that `transfer` shows to others, one for each confidence, on the network itself."""
    for attack in (ATTACKS[name] for name in config.attacks if ATTACKS[name].surrogate):
        crafting = replace(attack, function="defensive_distillation.attacks.cw.carlini_wagner:carlini_wagner", level="")
        for level in attack.levels(config):
            arguments = {**attack.arguments(config), "norm": "l2", "targeted": False, attack.level: level}
            told = {key: value for key, value in arguments.items() if value is not None}
            facts: dict[str, Any] = {"name": f"{attack.name}/{level:g}", "attack": attack.name, "variant": f"{level:g}"}
            facts |= {"arguments": told, "levels": [level], "targeted": False}
            yield AttackCall(crafting, facts["name"], facts, attack.sources(config), None, (level,), arguments)


def _call(attack: Attack, variant: Variant, config: Any, temperature: float, surrogate: nn.Module | None) -> AttackCall:
    arguments = {**attack.arguments(config), **variant.arguments}
    if variant.at_training_temperature:
        arguments["temperature"] = temperature
    levels = attack.levels(config)
    name = attack.variant_name(variant)
    targets = attack.targets(config) if attack.targeted else None
    facts = {
        "name": name,
        "attack": attack.name,
        "variant": variant.key,
        "arguments": {
            **{key: value for key, value in arguments.items() if isinstance(value, bool | int | float | str)},
            **({"on_grid": True} if config.on_grid else {}),
        },
        "levels": list(levels),
        "targeted": attack.targeted,
        **({"targets": targets} if targets is not None else {}),
    }
    if attack.surrogate:
        arguments["surrogate"] = surrogate
    return AttackCall(attack, name, facts, attack.sources(config), targets, levels, arguments, config.on_grid)


def _function(path: str) -> Callable[..., AttackResult]:
    module, _, name = path.partition(":")
    function: Callable[..., AttackResult] = getattr(import_module(module), name)
    return function
