from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from defensive_distillation.datasets.sampling import stratified_split, stratified_subset
from defensive_distillation.errors import DatasetError

CLASS_SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=8)
quick = settings(deadline=None, max_examples=100)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _labels(sizes: list[int]) -> torch.Tensor:
    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return labels[torch.randperm(len(labels), generator=_generator(1))]


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
    for _ in range(1000):
        kept[stratified_subset(labels, 10, generator)] += 1
    # each of 20 samples is kept with p = 8/20: in 1,000 draws 400 times, standard deviation 15.5; 5 of them allowed
    assert (kept[labels == 0] - 400).abs().max() < 78


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
