"""Adversarial samples of one model: by source and target class, and by attack on the same sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defensive_distillation.errors import InputError


@dataclass(frozen=True)
class Grid:
    """One sample for each pair of classes: source class down, target class across, originals on the diagonal.

    Raises:
        InputError: if the shapes do not belong together.
    """

    images: NDArray[np.uint8]  # (K, K, C, H, W)
    success: NDArray[np.bool_]  # (K, K); means nothing on the diagonal
    present: NDArray[np.bool_]  # (K, K)
    classes: tuple[str, ...]  # (K,)

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], classes: Sequence[str]) -> Grid:
        """From its arrays by name, and the names of all classes, of which a grid shows the first."""
        return cls(**arrays, classes=tuple(classes[: len(arrays["images"])]))

    def __post_init__(self) -> None:
        shape, pair_count = self.images.shape, len(self.classes)
        if len(shape) != 5 or shape[2] not in (1, 3) or self.images.dtype != np.uint8:
            raise InputError(f"grid: expected uint8 images (K, K, 1 or 3, H, W), got {self.images.dtype} {shape}")
        for name, got in (("images", shape[:2]), ("success", self.success.shape), ("present", self.present.shape)):
            if got != (pair_count, pair_count):
                raise InputError(f"grid: expected {name} for {pair_count} x {pair_count} classes, got {got}")

    @property
    def attacked(self) -> NDArray[np.bool_]:
        """Where an adversarial sample stands: present and off the diagonal. (K, K)."""
        return self.present & ~np.eye(len(self.classes), dtype=np.bool_)


@dataclass(frozen=True)
class Examples:
    """What each attack makes of the same sources.

    Raises:
        InputError: if the shapes do not belong together.
    """

    originals: NDArray[np.uint8]  # (S, C, H, W)
    images: NDArray[np.uint8]  # (A, S, C, H, W)
    success: NDArray[np.bool_]  # (A, S)
    attacks: tuple[str, ...]  # (A,), such as 'pgd/margin'
    labels: tuple[str, ...]  # (S,), class names of the originals

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], names: Mapping[str, Sequence[str]]) -> Examples:
        """From its arrays by name, and the names of attacks and labels."""
        return cls(**arrays, attacks=tuple(names["attacks"]), labels=tuple(names["labels"]))

    def __post_init__(self) -> None:
        shape, attacks, sources = self.images.shape, len(self.attacks), len(self.labels)
        if len(shape) != 5 or shape[2] not in (1, 3) or self.images.dtype != np.uint8:
            raise InputError(f"examples: expected uint8 images (A, S, 1 or 3, H, W), got {self.images.dtype} {shape}")
        if self.originals.shape != shape[1:] or self.originals.dtype != np.uint8:
            raise InputError(f"examples: expected uint8 originals {shape[1:]}, got {self.originals.shape}")
        for name, got in (("images", shape[:2]), ("success", self.success.shape)):
            if got != (attacks, sources):
                raise InputError(f"examples: expected {name} of {attacks} attacks on {sources} sources, got {got}")
