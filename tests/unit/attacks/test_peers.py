"""Our C&W L2 beside foolbox's and ART's: the same trained network, the same targets, no more gradient evaluations."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from defensive_distillation.attacks import carlini_wagner, pgd
from support.networks import Counting

PAIRS, SEARCHES, STEPS, RATE = 90, 5, 100, 0.05
ART_PAIRS = 27  # its line search asks for twenty forward passes a step

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the peers' own
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def require(package: str, name: str) -> None:
    if importlib.util.find_spec(package) is None:
        if os.environ.get("DEFDISTILL_REQUIRE_ALL") == "1":
            pytest.fail(f"expected the package {name}, found none; it is in the extra 'dev'")
        pytest.skip(f"needs the package {name}, of the extra 'dev'")


@pytest.fixture(scope="module")
def task() -> tuple[nn.Module, Tensor, Tensor]:
    """A small network that is trained on digits, some of them that it knows, and every other class as target."""
    digits = load_digits()
    images = torch.from_numpy(digits.images).float()[:, None] / 16  # (1797, 1, 8, 8)
    labels = torch.from_numpy(digits.target)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    model.eval().requires_grad_(False)
    with torch.no_grad():
        known = (model(images).argmax(1) == labels).nonzero().squeeze(1)[: PAIRS // 9]
    targets = torch.stack([torch.tensor([t for t in range(10) if t != labels[n]]) for n in known])
    return model, images[known].repeat_interleave(9, dim=0), targets.flatten()


def ours(task: tuple[nn.Module, Tensor, Tensor], **options: Any) -> tuple[Tensor, Tensor, int]:
    """Distances (P,), success (P,), and backward passes."""
    model, images, targets = task
    counted = Counting(model).eval()
    found = carlini_wagner(
        counted, images, targets, norm="l2", search_steps=SEARCHES, steps=STEPS, learning_rate=RATE, **options
    )
    assert counted.differentiated == int(found.gradient_evaluations.sum())
    return found.l2, found.success, counted.differentiated


def compare(mine: tuple[Tensor, Tensor, int], theirs: tuple[Tensor, Tensor, int], name: str) -> None:
    (distance, success, spent), (other, other_success, other_spent) = mine, theirs
    both = success & other_success
    ratio = float(distance[both].mean() / other[both].mean())
    print(
        f"{name}: mean L2 {float(distance[both].mean()):.4f} against {float(other[both].mean()):.4f}, "
        f"ratio {ratio:.4f}, gradients {spent} against {other_spent}, success {int(success.sum())} against "
        f"{int(other_success.sum())} of {len(success)}"
    )
    assert spent <= other_spent
    assert int(success.sum()) >= int(other_success.sum())
    assert int(both.sum()) >= len(success) // 2
    assert ratio <= 1.02


@pytest.mark.slow
def test_carlini_wagner_l2_is_as_near_as_foolboxs(task: tuple[nn.Module, Tensor, Tensor]) -> None:
    require("foolbox", "foolbox")
    import foolbox

    model, images, targets = task
    counted = Counting(model).eval()
    attack = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=SEARCHES, steps=STEPS, stepsize=RATE, initial_const=0.1, abort_early=False
    )
    wrapped = foolbox.PyTorchModel(counted, bounds=(0, 1), device="cpu")
    _, found, success = attack(wrapped, images, foolbox.criteria.TargetedMisclassification(targets), epsilons=None)
    theirs = ((found - images).flatten(1).norm(dim=1).detach(), success, counted.differentiated)
    compare(ours(task, abort_early=False), theirs, "foolbox")


@pytest.mark.slow
def test_carlini_wagner_l2_is_as_near_as_arts(task: tuple[nn.Module, Tensor, Tensor]) -> None:
    require("art", "adversarial-robustness-toolbox")
    from art.attacks.evasion import CarliniL2Method
    from art.estimators.classification import PyTorchClassifier

    model, images, targets = task[0], task[1][:ART_PAIRS], task[2][:ART_PAIRS]
    counted = Counting(model).eval()
    classifier = PyTorchClassifier(
        counted,
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(images.shape[1:]),
        nb_classes=10,
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )
    attack = CarliniL2Method(
        classifier,
        targeted=True,
        learning_rate=RATE,
        binary_search_steps=SEARCHES,
        max_iter=STEPS,
        initial_const=1.0,
        batch_size=ART_PAIRS,
        verbose=False,
    )
    found = torch.from_numpy(attack.generate(images.numpy(), y=targets.numpy()))
    with torch.no_grad():
        success = model(found).argmax(1) == targets
    theirs = ((found - images).flatten(1).norm(dim=1), success, counted.differentiated)
    compare(ours((model, images, targets), abort_early=False), theirs, "ART")


def test_pgd_fools_whom_foolboxs_fools_with_fewer_gradients(task: tuple[nn.Module, Tensor, Tensor]) -> None:
    """The same loss, step and start; foolbox goes on with who is fooled already, and may lose them again."""
    require("foolbox", "foolbox")
    import foolbox

    model, images, _ = task
    images = images[::9]  # each of the digits once
    with torch.no_grad():
        labels = model(images).argmax(1)
    for epsilon in (0.05, 0.1, 0.2):
        counted = Counting(model).eval()
        attack = foolbox.attacks.LinfPGD(steps=40, abs_stepsize=2.5 * epsilon / 40, random_start=False)
        wrapped = foolbox.PyTorchModel(counted, bounds=(0, 1), device="cpu")
        _, _, theirs = attack(wrapped, images, labels, epsilons=epsilon)
        found = pgd(model, images, labels, epsilon=epsilon, steps=40, loss="cross_entropy")
        assert bool((found.success | ~theirs).all())
        assert int(found.gradient_evaluations.sum()) <= counted.differentiated
