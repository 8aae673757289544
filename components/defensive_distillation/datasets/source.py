"""What a source says of itself before images are chosen from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Samples:
    """N samples whose images are not read yet.

    Attributes:
        labels: int64 (N,), in [0, K).
        names: of each sample, for messages of errors.
    """

    labels: Tensor
    names: Sequence[str]


@dataclass(frozen=True, eq=False)
class Source:
    """Samples by class, and how their images are read.

    Attributes:
        name: what the dataset is called in reports.
        classes: names of the K classes; label k means `classes[k]`.
        train: the training samples; all samples, where `test` is None.
        test: the test samples; None where a share of `train` is to be held out.
        images: given the indices of the training and of the test samples, int64 (n,) and (m,), the images of both,
            uint8 (n, C, H, W) and (m, C, H, W). Where `test` is None, both index `train`.
    """

    name: str
    classes: tuple[str, ...]
    train: Samples
    test: Samples | None
    images: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
