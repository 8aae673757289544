"""The images of an audit: from what a person has in hand to test images as the attacks take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.errors import DatasetError


class TestImages(Dataset):
    """Test images alone, of which classes may be missing."""

    __test__ = False  # no test, whatever pytest thinks of its name

    def validate(self) -> None:
        """Nothing: `test_images` has checked."""


def test_images(images: Any, labels: Any, *, classes: Sequence[str] | int, name: str, grey: bool) -> TestImages:
    """Images and labels as test images.

    Args:
        images: (N, C, H, W), C is 1 or 3, or (N, H, W): uint8, or floating point in [0, 1], which is rounded to 8 bits;
            or inputs of any other shape (N, ...), which stay as they are, as float32. A tensor, an array, or what NumPy
            makes one of.
        labels: (N,) whole numbers from 0, or (N, K) one-hot.
        classes: the names of the K classes, or K.
        name: of the dataset.
        grey: whether inputs of three dimensions are grey images (N, H, W), or series (N, C, L).

    Raises:
        DatasetError: naming what was expected and what came.
    """
    pixels, numbers = _pixels(_tensor(images, "images"), grey=grey), _numbers(_tensor(labels, "labels"))
    names = tuple(str(number) for number in range(classes)) if isinstance(classes, int) else tuple(classes)
    if len(numbers) != len(pixels):
        raise DatasetError(f"labels: expected one for each of {len(pixels)} images, got {len(numbers)}")
    low, high = int(numbers.min()), int(numbers.max())
    if low < 0 or high >= len(names):
        hint = "; do they count from 1?" if low == 1 and high == len(names) else ""
        raise DatasetError(f"labels: expected 0 to {len(names) - 1}, the model's classes, got {low} to {high}{hint}")
    none = pixels[:0]
    return TestImages(name, names, none, numbers[:0], pixels, numbers)


test_images.__test__ = False  # type: ignore[attr-defined]


def _tensor(values: Any, what: str) -> Tensor:
    if isinstance(values, Tensor):
        return values.detach().cpu()
    try:
        return torch.from_numpy(np.ascontiguousarray(values))
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{what}: expected a tensor or an array of numbers, got {type(values).__name__}") from error


def _pixels(images: Tensor, *, grey: bool) -> Tensor:
    """uint8 (N, C, H, W), or float32 (N, ...) of what is no image."""
    if images.dim() == 3 and grey:
        images = images[:, None]
    if images.dim() < 2 or 0 in images.shape:
        raise DatasetError(f"images: expected shape (N, C, H, W) or (N, ...), got {tuple(images.shape)}")
    of_images = images.dim() == 4 and images.shape[1] in (1, 3)
    if images.dim() == 4 and not of_images and images.shape[3] in (1, 3):
        raise DatasetError(
            f"images: expected 1 or 3 channels in (N, C, H, W), got {tuple(images.shape)}; "
            "move the channels to the front: images.transpose(0, 3, 1, 2)"
        )
    if images.dtype == torch.uint8:
        return images.contiguous() if of_images else images.float().contiguous() / 255
    if not images.is_floating_point():
        raise DatasetError(f"images: expected uint8 or floating point in [0, 1], got {images.dtype}")
    if not bool(images.isfinite().all()):
        raise DatasetError("images: expected finite values, got NaN or infinity")
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 1:
        hint = "divide them by 255" if low >= 0 and 1 < high <= 255 else "put the normalisation into the model"
        raise DatasetError(f"images: expected values within [0, 1], got {low:.9g} to {high:.9g}; {hint}")
    if not of_images:
        return images.float().contiguous()
    return (images.double() * 255).round().to(torch.uint8).contiguous()


def _numbers(labels: Tensor) -> Tensor:
    """int64 (N,)."""
    if labels.dim() == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dim() == 2:
        if not bool(((labels == 1).sum(1) == 1).all() & ((labels == 0).sum(1) == labels.shape[1] - 1).all()):
            raise DatasetError(
                f"labels: expected (N,) or one-hot (N, K), got {tuple(labels.shape)} that is not one-hot"
            )
        return labels.argmax(1)
    if labels.dim() != 1 or len(labels) == 0 or labels.dtype == torch.bool:
        raise DatasetError(f"labels: expected whole numbers of shape (N,), got {labels.dtype} {tuple(labels.shape)}")
    if labels.is_floating_point() and not bool((labels == labels.round()).all()):
        raise DatasetError("labels: expected whole numbers, got fractions")
    return labels.long()
