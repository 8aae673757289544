"""One attack of one library on the trained networks: success, distance, gradients and queries beside the time."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.programs.attacks import networks
from benchmarks.programs.attacks.budgets import CLASSES, EPSILON, TARGETED
from defensive_distillation.evaluation.results import ROUNDING


def prepare(name: str, *, attack: str, folder: str, images: int, targets: int = 9) -> Callable[[], dict[str, float]]:
    """The attack of the library `name`, a module of this folder, on networks from `folder`.

    It is timed on the undefended network. What it finds on the distilled one is counted once, before.

    Args:
        name: the library.
        attack: one of its ATTACKS.
        folder: where `networks.write` wrote to.
        images: how many.
        targets: classes that each is led to, the next ones after its own, where the attack is targeted.
    """
    library = import_module(f"benchmarks.programs.attacks.{name}").ATTACKS[attack]
    samples, classes = networks.known(Path(folder), images)
    if attack in TARGETED:
        samples = samples.repeat_interleave(targets, dim=0)
        classes = ((classes[:, None] + 1 + torch.arange(targets)) % CLASSES).flatten()
    undefended, distilled = (_Counted(networks.read(Path(folder), one)).eval() for one in networks.NAMES)
    torch.manual_seed(0)
    masked = _measured(library(distilled), attack, distilled, samples, classes)
    run = library(undefended)

    def measured() -> dict[str, float]:
        return {**_measured(run, attack, undefended, samples, classes), "distilled": masked["success"]}

    return measured


def _measured(
    run: Callable[[Tensor, Tensor], Tensor], attack: str, counted: _Counted, images: Tensor, classes: Tensor
) -> dict[str, float]:
    counted.gradients = counted.queries = 0
    found = run(images, classes).detach()
    gradients, queries = counted.gradients, counted.queries
    with torch.no_grad():
        reached = counted.model(found).argmax(1) == classes
    change = (found - images).double().flatten(1)
    if attack in TARGETED:
        success = reached
        distance = change.norm(dim=1) if attack == "cw_l2" else (change != 0).sum(1).double()
    else:
        distance = change.abs().amax(1)
        success = ~reached & (distance <= EPSILON + ROUNDING)
    return {
        "work": float(len(images)),
        "success": float(success.double().mean()),
        "distance": float(distance[success].mean()),
        "gradients": gradients / len(images),
        "queries": queries / len(images),
        "outside": float(torch.maximum(-found, found - 1).clamp(min=0).max()),
    }


class _Counted(nn.Module):
    """Counts the samples that go through, and those whose gradient is taken."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.gradients = 0
        self.queries = 0

    def forward(self, images: Tensor) -> Tensor:
        self.queries += len(images)
        if images.requires_grad:
            images.register_hook(functools.partial(self._count, len(images)))
        logits: Tensor = self.model(images)
        return logits

    def _count(self, samples: int, _: Tensor) -> None:
        self.gradients += samples
