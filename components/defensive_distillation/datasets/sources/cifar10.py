"""CIFAR-10 (Krizhevsky, 2009): photographs of ten classes, colour, 32×32, 50,000 for training, 10,000 for testing."""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import CIFAR10

from defensive_distillation.datasets import torchvision_files
from defensive_distillation.datasets.source import Source


def source(data_root: Path | None = None) -> Source:
    """CIFAR-10 from cifar-10-batches-py in `data_root`; without it, from the user's cache or its authors' server."""
    names = [*(name for name, _ in CIFAR10.train_list + CIFAR10.test_list), CIFAR10.meta["filename"]]
    return torchvision_files.source("cifar10", CIFAR10, [f"{CIFAR10.base_folder}/{name}" for name in names], data_root)
