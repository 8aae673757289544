"""How much there is of a dataset, known before its images are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from defensive_distillation.datasets import image_folder, sources
from defensive_distillation.datasets.sampling import stratified_split


@dataclass(frozen=True)
class Extent:
    """Of the test side of a dataset.

    Attributes:
        classes: K.
        images: the most that are attacked; copies of training images among them are found when all are read.
    """

    classes: int
    images: int


_TO_FETCH = {"mnist": Extent(10, 10_000), "cifar10": Extent(10, 10_000)}  # their files may not be here yet


def extent(source: str, *, test_limit: int | None, test_fraction: float, max_unpacked_bytes: int) -> Extent | None:
    """Of a dataset with these settings of prepare_data; None of one that does not lie here.

    Raises:
        DatasetError: for a folder or archive whose files are no dataset.
        StorageError: if the disk refuses.
    """
    whole = _TO_FETCH.get(source) or _opened(source, test_fraction, max_unpacked_bytes)
    if whole is None or test_limit is None:
        return whole
    return Extent(whole.classes, min(whole.images, test_limit))


def _opened(source: str, test_fraction: float, max_unpacked_bytes: int) -> Extent | None:
    if source in sources.NAMED:
        opened = sources.named(source)
    elif Path(source).exists():
        opened = image_folder.source(Path(source), image_size=None, max_unpacked_bytes=max_unpacked_bytes)
    else:
        return None
    if opened.test is not None:
        return Extent(len(opened.classes), len(opened.test.labels))
    _, held_out = stratified_split(opened.train.labels, test_fraction, torch.Generator(), opened.classes)
    return Extent(len(opened.classes), len(held_out))
