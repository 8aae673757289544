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

    It is timed on the undefended network as it is. What it finds on the distilled one, and how many gradients and
    queries it takes, is counted once, before.

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
    undefended, distilled = (networks.read(Path(folder), one) for one in networks.NAMES)
    run, counted = library(undefended), _Counted(undefended).eval()
    torch.manual_seed(0)
    masked = _told(library(distilled)(samples, classes), attack, distilled, samples, classes)["success"]
    library(counted)(samples, classes)
    once = {"distilled": masked, **{name: count / len(samples) for name, count in counted.counts.items()}}
    return lambda: {**_told(run(samples, classes), attack, undefended, samples, classes), **once}


def _told(found: Tensor, attack: str, model: nn.Module, images: Tensor, classes: Tensor) -> dict[str, float]:
    """What is said of the samples that were found."""
    found = found.detach()
    with torch.no_grad():
        reached = model(found).argmax(1) == classes
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
        "outside": float(torch.maximum(-found, found - 1).clamp(min=0).max()),
    }


class _Counted(nn.Module):
    """Counts the samples that go through, and those whose gradient is taken."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.counts = {"gradients": 0, "queries": 0}

    def forward(self, images: Tensor) -> Tensor:
        self.counts["queries"] += len(images)
        if images.requires_grad:
            images.register_hook(functools.partial(self._count, len(images)))
        logits: Tensor = self.model(images)
        return logits

    def _count(self, samples: int, _: Tensor) -> None:
        self.counts["gradients"] += samples
