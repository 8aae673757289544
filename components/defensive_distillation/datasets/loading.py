"""From a source to a dataset: which samples are kept on which side, and the checks that hold for every source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from defensive_distillation.datasets import image_folder, sources
from defensive_distillation.datasets.dataset import Dataset, overlap
from defensive_distillation.datasets.sampling import stratified_split, stratified_subset
from defensive_distillation.datasets.source import Samples, Source
from defensive_distillation.errors import ConfigurationError, DatasetError


def load(
    source: str,
    path: Path | None,
    generator: torch.Generator,
    *,
    data_root: str | None = None,
    train_limit: int | None = None,
    test_limit: int | None = None,
    test_fraction: float = 0.2,
    image_size: int | None = None,
    max_unpacked_bytes: int = 8 * 2**30,
) -> Dataset:
    """The dataset at `source`, checked, split and limited; the same for the same seed of `generator`.

    Args:
        source: one of `sources.NAMED`, or what the user calls `path`.
        path: the folder or archive, for a source that is none of `sources.NAMED`; see `image_folder.source`.
        generator: decides the split, then the training samples that are kept, then the test samples.
        data_root: the folder that holds the files of a named source; nothing is downloaded then.
        train_limit: the most training samples, a stratified subset.
        test_limit: the most test samples, a stratified subset.
        test_fraction: in (0, 1), the share of each class that is held out where the source has no test samples.
        image_size: pixels square to which the images of a folder are scaled.
        max_unpacked_bytes: the most bytes of an archive when unpacked.

    Raises:
        DatasetError: for images or labels that cannot be used, naming the first of them, and for test images that are
            also training images.
        ConfigurationError: for a setting that does not apply to the source.
        OutsideError: if a download or the disk fails.
    """
    _refuse_unused_settings(source, data_root, image_size)
    if source in sources.NAMED:
        opened = sources.named(source, data_root)
    else:
        place = _existing(source, path)
        opened = image_folder.source(place, image_size=image_size, max_unpacked_bytes=max_unpacked_bytes)
    train, test = _sides(opened, test_fraction, generator)
    train = train.limited("train_limit", train_limit, generator)
    test = test.limited("test_limit", test_limit, generator)
    train_images, test_images = opened.images(train.indices, test.indices)
    if opened.test is None:
        test, test_images = _without_copies(train, train_images, test, test_images)
    dataset = Dataset(opened.name, opened.classes, train_images, train.labels, test_images, test.labels)
    if pairs := overlap(train_images, test_images):
        first_test, first_train = pairs[0]
        raise DatasetError(
            f"{len(pairs)} test images are also training images "
            f"(first: {test.name(first_test)} = {train.name(first_train)}); remove them from one side"
        )
    return dataset


def _refuse_unused_settings(source: str, data_root: str | None, image_size: int | None) -> None:
    if data_root is not None and source not in (taking := sources.with_data_root()):
        raise ConfigurationError(f"data_root: expected the source {' or '.join(taking)} with it, got {source!r}")
    if image_size is not None and source in sources.NAMED:
        raise ConfigurationError(f"image_size: expected a folder or archive of images, got {source!r}")


def _existing(source: str, path: Path | None) -> Path:
    if path is None or not path.exists():
        raise DatasetError(
            f"source: expected {', '.join(sources.NAMED)}, or a folder or archive of images, "
            f"got {source!r}, which does not exist"
        )
    return path


def _without_copies(train: _Side, train_images: Tensor, test: _Side, test_images: Tensor) -> tuple[_Side, Tensor]:
    """The test side that was held out, without copies of training images: the seed put them there, not the user."""
    kept = torch.ones(len(test_images), dtype=torch.bool)
    for copy, original in overlap(train_images, test_images):
        if test.labels[copy] != train.labels[original]:
            raise DatasetError(
                f"{test.name(copy)}: expected an image of one class, got its copy {train.name(original)} in another"
            )
        kept[copy] = False
    return (test, test_images) if bool(kept.all()) else (_Side(test.samples, test.indices[kept]), test_images[kept])


@dataclass(frozen=True, eq=False)
class _Side:
    """Which samples are the training or the test side of a dataset: `indices` int64 (n,) of `samples`."""

    samples: Samples
    indices: Tensor

    @property
    def labels(self) -> Tensor:
        return self.samples.labels[self.indices]

    def name(self, place: int) -> str:
        return self.samples.names[int(self.indices[place])]

    def limited(self, setting: str, limit: int | None, generator: torch.Generator) -> _Side:
        """What the limit, called `setting`, leaves."""
        try:
            kept = stratified_subset(self.labels, len(self.indices) if limit is None else limit, generator)
        except DatasetError as error:
            raise DatasetError(f"{setting}: {error}") from error
        return _Side(self.samples, self.indices[kept])


def _sides(source: Source, test_fraction: float, generator: torch.Generator) -> tuple[_Side, _Side]:
    train, test = source.train, source.test
    if test is None:
        kept, held_out = stratified_split(train.labels, test_fraction, generator, source.classes)
        return _Side(train, kept), _Side(train, held_out)
    return _Side(train, torch.arange(len(train.labels))), _Side(test, torch.arange(len(test.labels)))
