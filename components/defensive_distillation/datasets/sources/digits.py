"""Scikit-learn's handwritten digits (Alpaydin and Kaynak, 1998), 1797 of 8×8 pixels, enlarged to MNIST's form."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch

from defensive_distillation.datasets.source import Samples, Source

_Numbers = np.ndarray[Any, np.dtype[np.int64]]


def source() -> Source:
    """All digits, uint8 (1797, 1, 28, 28); a share of them is to be held out."""
    small, classes = handwritten()
    images = torch.from_numpy(enlarged(small)).unsqueeze(1)
    samples = Samples(torch.from_numpy(classes), [f"image {index}" for index in range(len(images))])
    return Source("digits", tuple("0123456789"), samples, None, lambda train, test: (images[train], images[test]))


def handwritten() -> tuple[_Numbers, _Numbers]:
    """Scikit-learn's digits, images (1797, 8, 8) from 0 to 16 and classes (1797,).

    From its file, where that is in its place: importing scikit-learn takes two seconds.
    """
    package = importlib.util.find_spec("sklearn")
    for folder in (package and package.submodule_search_locations) or []:
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.is_file():
            table = np.loadtxt(path, delimiter=",", dtype=np.int64)
            return table[:, :-1].reshape(-1, 8, 8), table[:, -1].copy()
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images.astype(np.int64), digits.target.astype(np.int64)


def enlarged(images: _Numbers) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Images (N, 8, 8) of values 0 to 16 as (N, 28, 28) of values 0 to 255, bilinear between the pixels' centres.

    In integers, because 8 of 16 is 127.5: in floating point the processor would decide how that is rounded.
    """
    weights = _bilinear_weights(8, 28)  # its rows sum to 2 · 28
    scaled = weights @ images @ weights.T * 255
    unit = 16 * 56 * 56
    result: np.ndarray[Any, np.dtype[np.uint8]] = ((scaled + unit // 2) // unit).astype(np.uint8)
    return result


def _bilinear_weights(size: int, new_size: int) -> _Numbers:
    """Weights (new_size, size) of the old pixels in each new one, in parts of 2 · new_size."""
    centres = np.clip((2 * np.arange(new_size) + 1) * size - new_size, 0, (size - 1) * 2 * new_size)
    lower, part = np.divmod(centres, 2 * new_size)
    weights = np.zeros((new_size, size), dtype=np.int64)
    weights[np.arange(new_size), lower] = 2 * new_size - part
    weights[np.arange(new_size), np.minimum(lower + 1, size - 1)] += part
    return weights
