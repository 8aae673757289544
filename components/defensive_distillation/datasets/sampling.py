"""How parts of labelled samples are drawn so that every class keeps its share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from defensive_distillation.errors import DatasetError


def stratified_subset(labels: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    """Indices of min(limit, N) samples, ascending, with the classes in the proportions of `labels`.

    Each class gets its share by the method of largest remainders, and at least one sample.

    Args:
        labels: int64 (N,).
        limit: the most indices to return.
        generator: decides which samples of a class are kept.

    Raises:
        DatasetError: if `limit` is below the number of classes.
    """
    present, counts = torch.unique(labels, return_counts=True)
    if limit < len(present):
        raise DatasetError(f"expected at least {len(present)}, one image for each class, got {limit}")
    if limit >= len(labels):
        return torch.arange(len(labels))
    kept = [
        _drawn(labels, label, share, generator)
        for label, share in zip(present.tolist(), _shares(counts.tolist(), limit), strict=True)
    ]
    return torch.cat(kept).sort().values


def stratified_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """All N indices in an order whose every beginning has the classes in their proportions.

    One sample of each class comes first. The first n are part of the first n + 1: attacks on different numbers of
    samples share those of the smaller number.

    Args:
        labels: int64 (N,).
        generator: decides which samples of a class come first.
    """
    place = torch.empty(len(labels), dtype=torch.float64)
    for label, count in zip(*(part.tolist() for part in torch.unique(labels, return_counts=True)), strict=True):
        members = _drawn(labels, label, count, generator)
        place[members] = torch.arange(count, dtype=torch.float64) / count
    return place.argsort(stable=True)


def _shares(counts: Sequence[int], limit: int) -> list[int]:
    """Splits `limit` in the proportions of `counts`, in integers; needs len(counts) <= limit < sum(counts)."""
    total = sum(counts)
    shares = [limit * count // total for count in counts]
    by_remainder = sorted(range(len(counts)), key=lambda k: -(limit * counts[k] % total))
    for k in by_remainder[: limit - sum(shares)]:
        shares[k] += 1
    for k in [k for k, share in enumerate(shares) if share == 0]:
        # the place is taken from the class that has most above its exact share and can spare one
        giver = max(
            (j for j, share in enumerate(shares) if share > 1), key=lambda j: shares[j] * total - limit * counts[j]
        )
        shares[giver] -= 1
        shares[k] = 1
    return shares


def _drawn(labels: Tensor, label: int, count: int, generator: torch.Generator) -> Tensor:
    """Indices of `count` samples of class `label`, drawn without replacement."""
    members = (labels == label).nonzero().flatten()
    return members[torch.randperm(len(members), generator=generator)[:count]]


def stratified_split(
    labels: Tensor, test_fraction: float, generator: torch.Generator, classes: Sequence[str] = ()
) -> tuple[Tensor, Tensor]:
    """Indices of the training and of the test samples, each ascending.

    Of each class, `test_fraction` rounded to whole samples goes to the test side, and at least one to either side.

    Args:
        labels: int64 (N,).
        test_fraction: in (0, 1).
        generator: decides which samples are held out.
        classes: names of the classes, for the message of an error.

    Raises:
        DatasetError: for a class with a single sample.
    """
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for label, count in zip(*(part.tolist() for part in torch.unique(labels, return_counts=True)), strict=True):
        if count < 2:
            name = repr(classes[label]) if classes else label
            raise DatasetError(f"class {name}: expected at least 2 images, one for each side of the split, got {count}")
        share = min(max(round(count * test_fraction), 1), count - 1)
        held_out[_drawn(labels, label, share, generator)] = True
    return (~held_out).nonzero().flatten(), held_out.nonzero().flatten()
