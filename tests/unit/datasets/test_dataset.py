from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from defensive_distillation.datasets.dataset import (
    Dataset,
    content_digest,
    overlap,
    to_unit_interval,
)
from defensive_distillation.errors import DatasetError


def _noise(count: int, seed: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 1, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def _dataset(**changes: Any) -> Dataset:
    parts: dict[str, Any] = {
        "name": "noise",
        "classes": ("cat", "dog"),
        "train_images": _noise(6, 1),
        "train_labels": torch.tensor([0, 1, 0, 1, 0, 1]),
        "test_images": _noise(2, 2),
        "test_labels": torch.tensor([1, 0]),
    }
    return Dataset(**{**parts, **changes})


def test_a_dataset_knows_its_classes_and_the_shape_of_its_images() -> None:
    dataset = _dataset()
    assert dataset.num_classes == 2
    assert dataset.image_shape == (1, 4, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("cat",)}, "expected at least 2 classes, got 1"),
        ({"classes": ()}, "expected at least 2 classes, got 0"),
        ({"classes": ("cat", "cat")}, "expected different names, got 'cat' more than once"),
        ({"train_images": _noise(6, 1).float()}, "training images: expected dtype torch.uint8, got torch.float32"),
        (
            {"test_images": _noise(2, 1)[0]},
            r"test images: expected shape \(N, C, H, W\) with C 1 or 3, got \(1, 4, 5\)",
        ),
        ({"test_images": _noise(2, 1).expand(-1, 2, -1, -1)}, "with C 1 or 3"),
        ({"train_images": _noise(6, 1)[..., :0]}, "with C 1 or 3"),
        ({"train_labels": torch.zeros(6)}, "training labels: expected dtype torch.int64, got torch.float32"),
        ({"test_labels": torch.tensor([0])}, r"test labels: expected shape \(2,\), got \(1,\)"),
        ({"train_labels": torch.tensor([0, 1, 0, 1, 0, 2])}, "training labels: expected 0 to 1, got 2"),
        ({"test_labels": torch.tensor([0, -1])}, "test labels: expected 0 to 1, got -1"),
        ({"train_labels": torch.zeros(6, dtype=torch.int64)}, "class 'dog': expected at least one training image"),
        ({"test_labels": torch.ones(2, dtype=torch.int64)}, "class 'cat': expected at least one test image"),
        (
            {"train_images": _noise(0, 1), "train_labels": torch.zeros(0).long()},
            "training images: expected at least one",
        ),
        ({"test_images": _noise(0, 1), "test_labels": torch.zeros(0).long()}, "test images: expected at least one"),
        ({"test_images": _noise(2, 1).mT}, r"expected shape \(1, 4, 5\) as in training, got \(1, 5, 4\)"),
    ],
)
def test_a_dataset_that_cannot_be_used_is_refused_with_the_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        _dataset(**changes)


def test_the_unit_interval_is_uint8_divided_by_255_in_float32() -> None:
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    scaled = to_unit_interval(images)
    assert scaled.dtype == torch.float32
    assert scaled.min() == 0
    assert scaled.max() == 1
    assert torch.equal((scaled * 255).round().to(torch.uint8), images)


def test_images_already_scaled_are_not_scaled_again() -> None:
    with pytest.raises(ValueError, match=r"expected dtype torch.uint8, got torch.float32"):
        to_unit_interval(to_unit_interval(_noise(1, 1)))


def test_overlap_finds_test_images_that_are_training_images() -> None:
    train, test = _noise(6, 1), _noise(4, 2)
    assert overlap(train, test) == []
    train[5] = train[3]
    test[0], test[2] = train[3], train[1]
    assert overlap(train, test) == [(0, 3), (2, 1)]


def test_a_single_value_makes_images_differ() -> None:
    train = _noise(3, 1)
    test = train[1:2].clone()
    test[0, 0, 3, 4] ^= 1
    assert overlap(train, test) == []


def test_the_digest_is_that_of_the_content_and_not_of_the_name_or_the_memory() -> None:
    dataset = _dataset()
    transposed = dataset.train_images.mT.contiguous().mT
    assert not transposed.is_contiguous()
    assert content_digest(dataclasses.replace(dataset, name="other", train_images=transposed)) == content_digest(
        dataset
    )
    assert len(content_digest(dataset)) == 64


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ("cat", "cow")},
        {"train_images": _noise(6, 3)},
        {"train_labels": torch.tensor([1, 0, 0, 1, 0, 1])},
        {"test_images": _noise(2, 4)},
        {"test_labels": torch.tensor([0, 1])},
        {"train_images": _noise(6, 1).reshape(6, 1, 5, 4), "test_images": _noise(2, 2).reshape(2, 1, 5, 4)},
    ],
)
def test_the_digest_changes_with_every_part(changes: dict[str, Any]) -> None:
    assert content_digest(_dataset(**changes)) != content_digest(_dataset())
