"""MNIST (LeCun et al., 1998): handwritten digits, grey, 28×28, 60,000 for training and 10,000 for testing."""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import MNIST

from defensive_distillation.datasets import torchvision_files
from defensive_distillation.datasets.source import Source


def source(data_root: Path | None = None) -> Source:
    """MNIST from the four files in MNIST/raw of `data_root`; without it, from the user's cache or its mirrors."""
    files = [f"MNIST/raw/{archive.removesuffix('.gz')}" for archive, _ in MNIST.resources]
    return torchvision_files.source("mnist", MNIST, files, data_root, tuple("0123456789"))
