"""Networks trained on scikit-learn's digits, and a quick audit of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from defensive_distillation import Audit, audit

# the quick attacks, of few images: a minute together becomes seconds, and no verdict here is close
QUICK: dict[str, Any] = {
    "attacks": ("jsma_untargeted", "fgsm", "pgd", "square", "noise"),
    "settings": {
        "bounded": {"samples": 60},
        "jsma_untargeted": {"sources": 60},
        "pgd": {"steps": 20},
        "square": {"queries": 100},
    },
    "progress": False,
}


@dataclass(frozen=True)
class Digits:
    """Handwritten digits (N, 1, 8, 8) of scikit-learn, and small networks that were trained on them."""

    train_images: Tensor
    train_labels: Tensor
    images: Tensor
    labels: Tensor
    plain: nn.Module
    distilled: nn.Module  # a student at T = 100
    robust: nn.Module  # trained on PGD's samples

    def audited(self, model: Callable[[Any], Any], **more: Any) -> Audit:
        given = {"images": self.images, "labels": self.labels, **QUICK, **more}
        return audit(model, given.pop("images"), given.pop("labels"), **given)


@pytest.fixture(scope="session")
def digits(one_thread: None) -> Digits:
    found = load_digits()
    images = torch.tensor(found.images, dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(found.target)
    x, y = images[:1400], labels[:1400]
    hard = one_hot(y, 10).float()
    teacher = trained(x, hard, temperature=100.0)
    with torch.no_grad():
        soft = torch.softmax(teacher(x) / 100, 1)
    return Digits(
        x,
        y,
        images[1400:],
        labels[1400:],
        plain=trained(x, hard),
        distilled=trained(x, soft, temperature=100.0),
        robust=trained(x, hard, radius=0.2),
    )


def trained(images: Tensor, targets: Tensor, *, temperature: float = 1.0, radius: float = 0.0) -> nn.Module:
    """A network of one hidden layer; with a radius on the samples of PGD (Madry et al. 2018)."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        for _ in range(60):
            for batch in torch.randperm(len(images)).split(64):
                x, y = images[batch], targets[batch]
                x = _climbed(network, x, y, radius) if radius else x
                optimizer.zero_grad()
                cross_entropy(network(x) / temperature, y).backward()
                optimizer.step()
    return network.eval()


def _climbed(network: nn.Module, images: Tensor, targets: Tensor, radius: float) -> Tensor:
    x = (images + radius * (2 * torch.rand_like(images) - 1)).clamp(0, 1)
    for _ in range(5):
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(cross_entropy(network(x), targets), x)
        x = (images + (x.detach() + radius / 2.5 * gradient.sign() - images).clamp(-radius, radius)).clamp(0, 1)
    return x
