"""JSMA at the size of photographs, which Carlini and Wagner call infeasible, beside the passes that it is made of."""

from __future__ import annotations

from collections.abc import Callable

import torch

from defensive_distillation.attacks import jsma
from defensive_distillation.networks.architectures import build

SIDE, CLASSES, STEPS = 224, 1000, 5


def prepare(name: str) -> Callable[[], dict[str, float]]:
    """`name` is 'jsma', on logits, or 'passes': one forward and two backward passes, as often as JSMA has steps.

    It has run once.
    """
    model = build("torchvision:resnet18", CLASSES, (3, SIDE, SIDE), seed=0).eval().requires_grad_(False)
    images = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(4))
    target = model(images).argmin(1)

    def attack() -> dict[str, float]:
        found = jsma(model, images, target, max_features=2 * STEPS, output="logits")
        return {"work": STEPS + 1.0, "changed": float(found.changed_features[0])}

    def passes() -> dict[str, float]:
        for _ in range(STEPS + 1):
            x = images.clone().requires_grad_()
            logits = model(x)
            torch.autograd.grad(logits[0, target[0]], x, retain_graph=True)
            torch.autograd.grad(logits.sum(), x)
        return {"work": STEPS + 1.0}

    run = {"jsma": attack, "passes": passes}[name]
    run()
    return run
