"""The attacks that a configuration asks for, as runs: what is called, on what, and what is kept of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from defensive_distillation.attacks import AttackResult, carlini_wagner, fgsm, jsma, noise, pgd, square, transfer
from defensive_distillation.attacks.cw.carlini_wagner import Norm
from defensive_distillation.config import AttackConfig
from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.datasets.sampling import stratified_order

_LOSSES = ("cross_entropy", "margin")
_NORMS: Mapping[str, Norm] = {"cw_l2": "l2", "cw_l0": "l0", "cw_linf": "linf"}


@dataclass(frozen=True)
class Run:
    """One attack with its settings.

    Attributes:
        name: 'jsma/logits', 'pgd/margin', 'cw_l2' and so on; one of a kind in a model's evaluation.
        facts: what stands in the artifact's manifest about it.
        sources: how many test images are attacked.
        targeted: each towards every other class, or away from its own.
        dense: whether most features change.
        level: name of the argument that takes the levels, '' without any.
        levels: radii or confidences, rising.
        call: the attack, of (model, images, classes) and the arguments that the stage adds.
        random: whether it takes the samples' seeds.
    """

    name: str
    facts: Mapping[str, Any]
    sources: int
    targeted: bool
    call: Callable[..., AttackResult]
    dense: bool = False
    level: str = ""
    levels: tuple[float, ...] = ()
    random: bool = False

    def results(
        self,
        model: nn.Module,
        images: Tensor,
        classes: Tensor,
        *,
        seeds: Tensor,
        batch_size: int | None,
        on_finished: Callable[[int], None],
    ) -> list[AttackResult]:
        """The result at each level, or the one that there is.

        Args:
            model: returns logits.
            images: (P, C, H, W).
            classes: (P,).
            seeds: (P,) int64.
            batch_size: samples at once.
            on_finished: called with the number of samples that are done, as a mean over the levels.
        """
        options: dict[str, Any] = {"batch_size": batch_size, **({"seeds": seeds} if self.random else {})}
        if not self.level:
            return [self.call(model, images, classes, on_finished=on_finished, **options)]
        found = []
        for number, level in enumerate(self.levels):
            found.append(self.call(model, images, classes, **{self.level: level}, **options))
            on_finished(len(images) * (number + 1) // len(self.levels))
        return found


def pairs(dataset: Dataset, sources: int, seed: int, *, targeted: bool) -> tuple[Tensor, Tensor]:
    """Test images and classes (P,), (P,): targeted, each of `sources` towards every other class, else its own class."""
    order = stratified_order(dataset.test_labels, torch.Generator().manual_seed(seed))
    chosen = order[:sources].sort().values
    labels = dataset.test_labels[chosen]
    if not targeted:
        return chosen, labels
    target = torch.arange(dataset.num_classes).repeat(len(chosen), 1)
    other = target != labels[:, None]
    return chosen[:, None].expand_as(target)[other], target[other]


def runs(config: AttackConfig, training_temperature: float, surrogate: nn.Module | None) -> Iterator[Run]:
    """Every run of the attacks in `config`, in their order.

    Args:
        config: of the stage.
        training_temperature: T that z/T divides by.
        surrogate: the undistilled network, for transfer.
    """
    for attack in config.attacks:
        if attack.startswith("jsma"):
            yield from _jsma(attack, config, training_temperature)
        elif attack.startswith("cw_"):
            yield _carlini_wagner(attack, config)
        elif attack == "transfer":
            assert surrogate is not None
            yield _transfer(config, surrogate)
        else:
            yield from _bounded(attack, config)


def _jsma(attack: str, config: AttackConfig, training_temperature: float) -> Iterator[Run]:
    plain, targeted = attack == "jsma", attack != "jsma_untargeted"
    theta = -config.theta if attack == "jsma_decreasing" else config.theta
    for output in config.outputs if plain else config.other_outputs:
        temperature = training_temperature if output == "scaled" else 1.0
        yield Run(
            name=f"{attack}/{output}",
            facts={
                "attack": attack,
                "output": output,
                "temperature": temperature,
                "theta": theta,
                "max_features": config.max_features,
            },
            sources=config.sources if plain else config.other_sources,
            targeted=targeted,
            call=functools.partial(
                jsma,
                theta=theta,
                max_features=config.max_features,
                output="logits" if output == "logits" else "probabilities",
                temperature=temperature,
                targeted=targeted,
            ),
        )


def _bounded(attack: str, config: AttackConfig) -> Iterator[Run]:
    common: dict[str, Any] = {
        "sources": config.samples,
        "targeted": False,
        "dense": True,
        "level": "epsilon",
        "levels": config.epsilons,
    }
    if attack == "square":
        call = functools.partial(square, queries=config.square_queries)
        yield Run(name="square/margin", facts=_facts(attack, "margin"), call=call, random=True, **common)
    elif attack == "noise":
        call = functools.partial(noise, tries=config.noise_tries)
        yield Run(name="noise", facts=_facts(attack, "none"), call=call, random=True, **common)
    else:
        steps = {"steps": config.pgd_steps, "restarts": config.pgd_restarts} if attack == "pgd" else {}
        for loss in _LOSSES:
            function: Callable[..., AttackResult] = pgd if attack == "pgd" else fgsm
            call = functools.partial(function, loss=loss, **steps)
            yield Run(name=f"{attack}/{loss}", facts=_facts(attack, loss), call=call, random=attack == "pgd", **common)


def _facts(attack: str, loss: str) -> dict[str, str]:
    return {"attack": attack, "loss": loss}


def _carlini_wagner(attack: str, config: AttackConfig) -> Run:
    norm: Norm = _NORMS[attack]
    return Run(
        name=attack,
        facts={"attack": attack, "norm": norm},
        sources=config.cw_sources,
        targeted=True,
        dense=norm != "l0",
        call=functools.partial(
            carlini_wagner,
            norm=norm,
            **_search(config),
        ),
    )


def _search(config: AttackConfig) -> dict[str, Any]:
    """How C&W's optimiser is told to search."""
    return {
        "steps": config.cw_steps,
        "search_steps": config.cw_search_steps,
        "learning_rate": config.cw_learning_rate,
        "initial_constant": config.cw_initial_constant,
        "constant_factor": config.cw_constant_factor,
    }


def _transfer(config: AttackConfig, surrogate: nn.Module) -> Run:
    return Run(
        name="transfer",
        facts={"attack": "transfer"},
        sources=config.samples,
        targeted=False,
        dense=True,
        level="confidence",
        levels=config.confidences,
        call=functools.partial(
            transfer,
            surrogate=surrogate,
            **_search(config),
        ),
    )
