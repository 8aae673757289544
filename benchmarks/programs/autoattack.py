"""Robust accuracy by ours and by AutoAttack on small networks: undefended, distilled, adversarially trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.datasets.loading import load
from defensive_distillation.evaluation.results import ROUNDING
from defensive_distillation.networks.architectures import as_input, predict
from defensive_distillation.networks.objectives.adversarial import Adversarial
from defensive_distillation.networks.softmax import softmax_at
from defensive_distillation.networks.training import train

Network = Literal["undefended", "distilled", "adversarial"]
TEMPERATURE = 100.0
RADIUS = 0.2  # of the adversarial training
EPOCHS = {"digits": 30, "mnist": 12}
ITERATIONS = 100  # of AutoAttack's APGD and FAB (Croce and Hein 2020, Section 6)


def prepare(
    name: str, *, data: str, network: Network, images: int, epsilons: Sequence[float], mnist: str | None = None
) -> Callable[[], dict[str, float]]:
    """The attacks `name` on so many test images of `data`: 'audit', with everything at its default, or 'autoattack'.

    Every contender trains the network for itself: on one thread the same steps lead to the same weights.
    """
    dataset = load(data, None, torch.Generator().manual_seed(0), data_root=mnist, train_limit=6_000, test_limit=images)
    model = trained(dataset, network, epochs=EPOCHS[data])
    attack = {"audit": _ours, "autoattack": _theirs}[name]
    return lambda: {"work": float(len(dataset.test_images)), **attack(model, dataset, epsilons)}


def standard(model: nn.Module, *, epsilon: float, classes: int) -> Any:
    """AutoAttack's standard attack within an L∞ ball, of torchattacks with the settings of the original.

    torchattacks 3.5.1 takes 10 iterations in APGD and FAB where the authors' program (fra31/auto-attack, a392200) takes
    100, and fits Square's schedule to its 5,000 queries where that does not. What they compute in an iteration is the
    same.

    Args:
        model: returns logits, in evaluation mode.
        epsilon: radius.
        classes: K; every other class is a target, nine of ten.

    Returns:
        A torchattacks.AutoAttack: from images (N, C, H, W) in [0, 1] and labels (N,) to the samples.
    """
    from torchattacks import AutoAttack

    whole = AutoAttack(model, norm="Linf", eps=epsilon, version="standard", n_classes=classes, seed=0)
    *climbing, square = whole._autoattack.attacks
    for attack in climbing:
        attack.steps = ITERATIONS
    square.rescale_schedule = False
    return whole


def right_under(
    attack: Callable[[Tensor, Tensor], Tensor], model: nn.Module, images: Tensor, labels: Tensor, *, epsilon: float
) -> int:
    """How many images are classified right whatever `attack` did to them within the ball."""
    with torch.random.fork_rng():  # AutoAttack seeds the generator of all
        samples = attack(images, labels)
    with torch.no_grad():
        wrong = model(samples).argmax(1) != labels
    within = (samples - images).double().abs().flatten(1).amax(1) <= epsilon + ROUNDING
    return int((~(wrong & within)).sum())


def trained(dataset: Dataset, network: Network, *, epochs: int) -> nn.Module:
    """Two convolutions with strides and two linear layers, trained as the pipeline trains, with its losses."""
    hard = one_hot(dataset.train_labels, dataset.num_classes).float()
    if network == "undefended":
        return _fitted(dataset, hard, epochs=epochs)
    if network == "adversarial":
        worst = Adversarial(epsilon=RADIUS, steps=7, step_size=2.5 / 7, random_start=True, warm_up=0.75)
        return _fitted(dataset, hard, epochs=epochs, objective=worst)
    teacher = _fitted(dataset, hard, epochs=epochs, temperature=TEMPERATURE)
    logits = predict(teacher, dataset.train_images, batch_size=128, device=torch.device("cpu"))
    return _fitted(dataset, softmax_at(logits, TEMPERATURE).float(), epochs=epochs, temperature=TEMPERATURE)


def _fitted(dataset: Dataset, targets: Tensor, *, epochs: int, temperature: float = 1.0, **options: Any) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            *(nn.Conv2d(1, 16, 4, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 4, stride=2), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(800, 100), nn.ReLU(), nn.Linear(100, dataset.num_classes)),
        )
    last = model[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.mul_(temperature**0.75)  # as the pipeline does, see docs/decisions.md
    steps: dict[str, Any] = {"batch_size": 64, "learning_rate": 0.05, "momentum": 0.9, **options}
    for _ in train(model, dataset.train_images, targets, temperature=temperature, epochs=epochs, **steps):
        pass
    return model.eval().requires_grad_(False)


def _ours(model: nn.Module, dataset: Dataset, epsilons: Sequence[float]) -> dict[str, float]:
    from defensive_distillation import audit

    found = audit(
        model,
        dataset.test_images,
        dataset.test_labels,
        epsilons=epsilons,
        settings={"bounded": {"samples": len(dataset.test_images)}},
        device="cpu",
        progress=False,
    )
    robust = found.evaluation.robust
    assert robust is not None
    assert robust.samples == len(dataset.test_images)
    right = dict(zip(robust.epsilons, robust.right, strict=True))
    return {"accuracy": found.accuracy, **{f"right {epsilon}": float(right[epsilon]) for epsilon in epsilons}}


def _theirs(model: nn.Module, dataset: Dataset, epsilons: Sequence[float]) -> dict[str, float]:
    images, labels = as_input(dataset.test_images), dataset.test_labels
    found = {"accuracy": float((model(images).argmax(1) == labels).double().mean())}
    for epsilon in epsilons:
        attack = standard(model, epsilon=epsilon, classes=dataset.num_classes)
        found[f"right {epsilon}"] = float(right_under(attack, model, images, labels, epsilon=epsilon))
    return found
