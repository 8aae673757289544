"""Datasets for tests: the original files, where they are there, and small images in folders by class."""

from __future__ import annotations

import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.datasets.loading import load


@pytest.fixture(scope="session")
def shared_datasets() -> Path:
    """The folder with the original MNIST files and CIFAR-10 as images, which the project does not contain."""
    beside = Path(__file__).parents[3] / "shared" / "datasets"
    folder = Path(os.environ.get("DEFDISTILL_DATASETS", beside))
    if not (folder / "MNIST" / "raw").is_dir() or not (folder / "cifar10.tar.xz").is_file():
        if os.environ.get("DEFDISTILL_REQUIRE_ALL") == "1":
            pytest.fail(f"expected MNIST/raw and cifar10.tar.xz in {folder}; DEFDISTILL_DATASETS names another folder")
        pytest.skip(f"needs MNIST/raw and cifar10.tar.xz in {folder}, or in the folder that DEFDISTILL_DATASETS names")
    return folder


def loaded(source: str | Path, seed: int = 0, **settings: Any) -> Dataset:
    """The dataset at a path, or the one of that name."""
    path = source if isinstance(source, Path) else None
    return load(str(source), path, torch.Generator().manual_seed(seed), **settings)


def noise(seed: int, mode: str = "L", size: tuple[int, int] = (9, 8)) -> Image.Image:
    shape = {"L": (), "RGB": (3,), "RGBA": (4,), "LA": (2,), "CMYK": (4,)}[mode]
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], *shape), dtype=np.uint8)
    return Image.frombytes(mode, size, values.tobytes())


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def two_sides(folder: Path, mode: str = "L", top: str = "") -> Path:
    """Five training and two test images of a cat and of a dog, none like another."""
    for seed, (side, name, number) in enumerate(
        (side, name, number)
        for side, count in (("train", 5), ("test", 2))
        for name in ("cat", "dog")
        for number in range(count)
    ):
        save(folder / top / side / name / f"{number}.png", noise(seed, mode))
    return folder


def one_side(folder: Path, count: int = 10) -> Path:
    """As many images of a cat as of a dog, none like another."""
    for seed in range(2 * count):
        save(folder / ("cat", "dog")[seed % 2] / f"{seed:03}.png", noise(seed))
    return folder


def zipped(folder: Path, path: Path, reverse: bool = False) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*"), reverse=reverse):
            archive.write(file, file.relative_to(folder))
    return path


def tarred(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:xz") as archive:
        archive.add(folder, ".")
    return path
