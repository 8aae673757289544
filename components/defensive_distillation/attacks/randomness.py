"""Random numbers that belong to a sample: neither batch size nor order nor sharding changes them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from defensive_distillation.errors import InputError


def require_seeds(seeds: Tensor | None, count: int) -> Tensor:
    """One seed a sample, (N,) int64 on the CPU; 0, 1, … without any.

    Raises:
        InputError: for another shape or type.
    """
    if seeds is None:
        return torch.arange(count)
    if seeds.shape != (count,) or seeds.dtype != torch.int64:
        raise InputError(f"seeds: expected int64 ({count},), got {seeds.dtype} {tuple(seeds.shape)}")
    return seeds.cpu()


def uniform(seeds: Tensor, shape: tuple[int, ...], like: Tensor, *, stream: int = 0) -> Tensor:
    """Numbers in [0, 1) of `shape` for each sample, (N, *shape), in the type and on the device of `like`.

    Seed and stream are the key of a Philox generator, so no two of them share numbers. A torch.Generator on the CPU
    heeds the lower 32 bits of its seed alone.

    Args:
        seeds: (N,) int64 on the CPU.
        shape: of the numbers of one sample.
        like: decides type and device.
        stream: another one gives other numbers.
    """
    rows = np.empty((len(seeds), *shape))
    for row, seed in zip(rows, seeds.tolist(), strict=True):
        key = np.array([seed % 2**64, stream], dtype=np.uint64)
        row[...] = np.random.Generator(np.random.Philox(key=key)).random(shape)
    below_one = 1 - torch.finfo(like.dtype).eps / 2  # the largest number below 1, which others are rounded to 1
    return torch.from_numpy(rows).to(like).clamp(max=below_one)


def random_signs(numbers: Tensor) -> Tensor:
    """+1 where a number of [0, 1) is at least one half, else -1, in the type of `numbers`."""
    return torch.where(numbers >= 0.5, 1.0, -1.0).to(numbers)
