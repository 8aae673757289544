from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from defensive_distillation.datasets.dataset import (
    Dataset,
    content_digest,
    overlap,
    stratified_split,
    stratified_subset,
    to_unit_interval,
)
from defensive_distillation.errors import DatasetError

CLASS_SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=8)
quick = settings(deadline=None, max_examples=200)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _labels(sizes: list[int]) -> torch.Tensor:
    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return labels[torch.randperm(len(labels), generator=_generator(1))]


def _noise(count: int, seed: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 1, 4, 5), dtype=torch.uint8, generator=_generator(seed))


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


@quick
@given(sizes=CLASS_SIZES, limit=st.integers(1, 400), seed=st.integers(0, 10))
def test_a_subset_has_the_size_asked_for_and_keeps_proportions(sizes: list[int], limit: int, seed: int) -> None:
    labels = _labels(sizes)
    if limit < len(sizes):
        with pytest.raises(
            DatasetError, match=f"expected at least {len(sizes)}, one image for each class, got {limit}"
        ):
            stratified_subset(labels, limit, _generator(seed))
        return
    subset = stratified_subset(labels, limit, _generator(seed))
    kept = torch.bincount(labels[subset], minlength=len(sizes))
    exact = torch.tensor(sizes, dtype=torch.float64) * min(limit, sum(sizes)) / sum(sizes)
    assert len(subset) == min(limit, sum(sizes))
    assert torch.equal(subset, subset.unique())  # ascending, and none twice
    assert (kept >= 1).all()
    if (exact >= 1).all():
        assert ((kept - exact).abs() < 1).all()


@quick
@given(sizes=st.lists(st.integers(1, 30), min_size=2, max_size=4), share=st.floats(0, 1))
def test_no_other_subset_with_all_classes_is_nearer_to_the_proportions(sizes: list[int], share: float) -> None:
    total = sum(sizes)
    limit = min(max(len(sizes), round(share * total)), 24)
    limit = min(limit, total)

    def distance(counts: tuple[int, ...]) -> int:
        return sum(abs(count * total - limit * size) for count, size in zip(counts, sizes, strict=True))

    labels = _labels(sizes)
    kept = torch.bincount(labels[stratified_subset(labels, limit, _generator())], minlength=len(sizes))
    others = (c for c in itertools.product(*(range(1, min(s, limit) + 1) for s in sizes[:-1])))
    complete = ((*c, limit - sum(c)) for c in others if 1 <= limit - sum(c) <= sizes[-1])
    assert distance(tuple(kept.tolist())) == min(distance(c) for c in complete)


def test_the_seed_decides_which_samples_are_kept() -> None:
    labels = _labels([50, 50])
    assert torch.equal(stratified_subset(labels, 10, _generator(3)), stratified_subset(labels, 10, _generator(3)))
    assert not torch.equal(stratified_subset(labels, 10, _generator(3)), stratified_subset(labels, 10, _generator(4)))


def test_every_sample_of_a_class_has_the_same_chance_to_be_kept() -> None:
    labels = _labels([20, 5])
    generator = _generator()
    kept = torch.zeros(25)
    for _ in range(2000):
        kept[stratified_subset(labels, 10, generator)] += 1
    # each of 20 samples is kept with p = 8/20: in 2,000 draws 800 times, standard deviation 22; 5 of them allowed
    assert (kept[labels == 0] - 800).abs().max() < 110


@quick
@given(
    sizes=st.lists(st.integers(2, 40), min_size=1, max_size=8), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 10)
)
def test_a_split_covers_all_samples_and_has_every_class_on_both_sides(
    sizes: list[int], fraction: float, seed: int
) -> None:
    labels = _labels(sizes)
    train, test = stratified_split(labels, fraction, _generator(seed))
    assert torch.equal(torch.cat([train, test]).sort().values, torch.arange(len(labels)))
    assert torch.equal(train, train.sort().values)
    assert torch.equal(test, test.sort().values)
    for label, size in enumerate(sizes):
        held_out = int((labels[test] == label).sum())
        assert 1 <= held_out < size
        assert abs(held_out - fraction * size) <= 1


def test_a_class_of_one_image_cannot_be_split() -> None:
    labels = torch.tensor([0, 0, 1])
    with pytest.raises(
        DatasetError, match="class 1: expected at least 2 images, one for each side of the split, got 1"
    ):
        stratified_split(labels, 0.2, _generator())
    with pytest.raises(DatasetError, match="class 'dog': expected at least 2 images"):
        stratified_split(labels, 0.2, _generator(), ("cat", "dog"))


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
