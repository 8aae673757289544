"""A dataset of images by class: its form and its checks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from defensive_distillation.errors import DatasetError


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test images with their labels.

    Attributes:
        name: what the dataset is called in reports.
        classes: names of the K classes; label k means `classes[k]`.
        train_images: uint8 (N, C, H, W), C is 1 or 3.
        train_labels: int64 (N,), in [0, K).
        test_images: uint8 (M, C, H, W).
        test_labels: int64 (M,), in [0, K).
    """

    name: str
    classes: tuple[str, ...]
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    def __post_init__(self) -> None:
        self.validate()

    @property
    def num_classes(self) -> int:
        """K, the number of classes."""
        return len(self.classes)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width

    def validate(self) -> None:
        """Checks everything that the later stages rely on.

        Raises:
            DatasetError: naming what was expected and what was found.
        """
        _check_classes(self.classes)
        _check_split("training", self.classes, self.train_images, self.train_labels)
        _check_split("test", self.classes, self.test_images, self.test_labels)
        train_shape, test_shape = tuple(self.train_images.shape[1:]), tuple(self.test_images.shape[1:])
        if train_shape != test_shape:
            raise DatasetError(f"test images: expected shape {train_shape} as in training, got {test_shape}")


def _check_classes(classes: tuple[str, ...]) -> None:
    if len(classes) < 2:
        raise DatasetError(f"expected at least 2 classes, got {len(classes)}")
    repeated = sorted({name for name in classes if classes.count(name) > 1})
    if repeated:
        raise DatasetError(f"classes: expected different names, got {repeated[0]!r} more than once")


def _check_split(split: str, classes: tuple[str, ...], images: Tensor, labels: Tensor) -> None:
    _check_images(split, images)
    _check_labels(split, labels, len(images), len(classes))
    counts = torch.bincount(labels, minlength=len(classes)).tolist()
    for name, count in zip(classes, counts, strict=True):
        if count == 0:
            raise DatasetError(f"class {name!r}: expected at least one {split} image, got none")


def _check_images(split: str, images: Tensor) -> None:
    if images.dtype != torch.uint8:
        raise DatasetError(f"{split} images: expected dtype torch.uint8, got {images.dtype}")
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape[2:]:
        raise DatasetError(f"{split} images: expected shape (N, C, H, W) with C 1 or 3, got {tuple(images.shape)}")
    if len(images) == 0:
        raise DatasetError(f"{split} images: expected at least one, got none")


def _check_labels(split: str, labels: Tensor, count: int, num_classes: int) -> None:
    if labels.dtype != torch.int64:
        raise DatasetError(f"{split} labels: expected dtype torch.int64, got {labels.dtype}")
    if labels.shape != (count,):
        raise DatasetError(f"{split} labels: expected shape ({count},), got {tuple(labels.shape)}")
    outside = labels[(labels < 0) | (labels >= num_classes)]
    if len(outside):
        raise DatasetError(f"{split} labels: expected 0 to {num_classes - 1}, got {int(outside[0])}")


def to_unit_interval(images: Tensor) -> Tensor:
    """The images as float32 in [0, 1], uint8 divided by 255.

    Raises:
        ValueError: for images that are not uint8, such as images already scaled.
    """
    if images.dtype != torch.uint8:
        raise ValueError(f"images: expected dtype torch.uint8, got {images.dtype}")
    return images.to(torch.float32) / 255


def overlap(train_images: Tensor, test_images: Tensor) -> list[tuple[int, int]]:
    """Test images that are also training images, byte for byte.

    Returns:
        Pairs (test index, index of the first equal training image), ascending.
    """
    first: dict[bytes, int] = {}
    for index, digest in enumerate(_digests(train_images)):
        first.setdefault(digest, index)
    return [(index, first[digest]) for index, digest in enumerate(_digests(test_images)) if digest in first]


def _digests(images: Tensor) -> Iterator[bytes]:
    for image in np.ascontiguousarray(images.numpy(force=True)):
        yield hashlib.blake2b(image, digest_size=32).digest()


def content_digest(dataset: Dataset) -> str:
    """SHA-256 in hexadecimal of the classes, the shapes and the bytes of a dataset; its name does not count."""
    tensors = (dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels)
    # the shapes come first, so that no two datasets give the same stream of bytes
    header = {"classes": dataset.classes, "shapes": [list(tensor.shape) for tensor in tensors]}
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for tensor in tensors:
        array = tensor.numpy(force=True)
        digest.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()
