"""Two trained networks of the paper's MNIST architecture on handwritten digits, undefended and distilled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import one_hot

from benchmarks.programs.attacks.budgets import CLASSES
from defensive_distillation.networks import compute
from defensive_distillation.networks.architectures import as_input, build
from defensive_distillation.networks.softmax import soft_labels

if TYPE_CHECKING:
    from defensive_distillation.datasets.dataset import Dataset

ARCHITECTURE = "papernot_mnist"
TEMPERATURE = 100.0
EPOCHS = 10
NAMES = ("undefended", "distilled")
_CPU = torch.device("cpu")


def write(folder: Path) -> None:
    """Trains both; writes their weights, and the test images that both classify right, the same for all contenders."""
    from defensive_distillation.datasets.loading import load

    dataset = load("digits", None, torch.Generator().manual_seed(0), train_limit=600)
    hard = one_hot(dataset.train_labels, CLASSES).float()
    teacher = _fitted(dataset, hard, TEMPERATURE)
    soft = soft_labels(teacher, as_input(dataset.train_images), TEMPERATURE)
    images, labels = as_input(dataset.test_images), dataset.test_labels
    right = torch.ones_like(labels, dtype=torch.bool)
    for name, model in zip(NAMES, (_fitted(dataset, hard, 1.0), _fitted(dataset, soft, TEMPERATURE)), strict=True):
        right &= model(images).argmax(1) == labels
        weights = {key: value.contiguous() for key, value in model.state_dict().items()}
        save_file(weights, folder / f"{name}.safetensors")
    save_file({"images": images[right], "labels": labels[right]}, folder / "known.safetensors")


def read(folder: Path, name: str) -> nn.Module:
    """One of `NAMES`, in evaluation mode, its weights without gradients, in the form that suits the CPU."""
    model = build(ARCHITECTURE, CLASSES, (1, 28, 28), seed=0)
    model.load_state_dict(load_file(folder / f"{name}.safetensors"))
    return compute.on(_CPU, model.eval().requires_grad_(False))


def known(folder: Path, count: int) -> tuple[Tensor, Tensor]:
    """The first test images that both networks classify right, (count, 1, 28, 28), and their classes."""
    stored = load_file(folder / "known.safetensors")
    return stored["images"][:count], stored["labels"][:count]


def _fitted(dataset: Dataset, targets: Tensor, temperature: float) -> nn.Module:
    from defensive_distillation.networks.fit import fit

    options: dict[str, Any] = {
        "batch_size": 16,
        "learning_rate": 0.03,
        "momentum": 0.9,
        "dropout": 0.2,
        "epochs": EPOCHS,
    }
    options |= {"architecture": ARCHITECTURE, "temperature": temperature, "seed": 0, "device": _CPU}
    return fit(dataset, targets, **options).model.requires_grad_(False)
