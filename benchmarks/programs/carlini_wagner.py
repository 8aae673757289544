"""C&W L2 by ours and foolbox on a network that is trained on handwritten digits: distance beside gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from defensive_distillation.networks import compute
from defensive_distillation.networks.architectures import as_input, build
from defensive_distillation.networks.training import train

SEARCHES, STEPS, RATE = 5, 100, 0.05


def prepare(name: str, *, sources: int) -> Callable[[], dict[str, float]]:
    """The attack `name` on `sources` images towards each of the nine other classes."""
    model, images, labels = _trained()
    images, labels = images[:sources], labels[:sources]
    targets = torch.stack([torch.tensor([t for t in range(10) if t != label]) for label in labels.tolist()]).flatten()
    images = images.repeat_interleave(9, dim=0)
    counted = _Counted(model).eval()
    attack = {"ours": _ours, "foolbox": _foolbox}[name](counted)

    def run() -> dict[str, float]:
        counted.gradients = 0
        adversarial = attack(images, targets)
        with torch.no_grad():
            success = model(adversarial).argmax(1) == targets
        distance = (adversarial - images).flatten(1).norm(dim=1)[success].double()
        return {
            "work": float(len(images)),
            "success": float(success.double().mean()),
            "distance": float(distance.mean()),
            "gradients": counted.gradients / len(images),
        }

    return run


class _Counted(nn.Module):
    """Counts the samples whose gradient is taken."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.gradients = 0

    def forward(self, images: Tensor) -> Tensor:
        if images.requires_grad:
            images.register_hook(functools.partial(self._count, len(images)))
        logits: Tensor = self.model(images)
        return logits

    def _count(self, samples: int, _: Tensor) -> None:
        self.gradients += samples


@functools.cache
def _trained() -> tuple[nn.Module, Tensor, Tensor]:
    from defensive_distillation.datasets.loading import load

    dataset = load("digits", None, torch.Generator().manual_seed(0), train_limit=600)
    model = compute.on(torch.device("cpu"), build("papernot_mnist", 10, (1, 28, 28), seed=0))
    hard = nn.functional.one_hot(dataset.train_labels, 10).float()
    options: dict[str, Any] = {"batch_size": 16, "learning_rate": 0.03, "momentum": 0.9}
    for _ in train(model, dataset.train_images, hard, temperature=1.0, epochs=6, **options):
        pass
    model.eval().requires_grad_(False)
    images = as_input(dataset.test_images)
    known = model(images).argmax(1) == dataset.test_labels
    return model, images[known], dataset.test_labels[known]


def _ours(model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    from defensive_distillation.attacks import carlini_wagner

    def attack(images: Tensor, targets: Tensor) -> Tensor:
        options: dict[str, Any] = {"steps": STEPS, "search_steps": SEARCHES, "learning_rate": RATE}
        return carlini_wagner(model, images, targets, norm="l2", **options).adversarial

    return attack


def _foolbox(model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    import foolbox

    bounded = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    made = foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=SEARCHES, steps=STEPS, stepsize=RATE)

    def attack(images: Tensor, targets: Tensor) -> Tensor:
        _, clipped, _ = made(bounded, images, foolbox.criteria.TargetedMisclassification(targets), epsilons=None)
        found: Tensor = clipped
        return found

    return attack
