"""Datasets that torchvision knows, from their original files: in a given folder or downloaded once."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from defensive_distillation.datasets.source import Samples, Source
from defensive_distillation.errors import DatasetError, OutsideError, first_line

_DOWNLOAD_TIMEOUT = 60.0  # seconds without an answer


def source(
    name: str, kind: Any, files: Sequence[str], data_root: Path | None, classes: tuple[str, ...] | None = None
) -> Source:
    """The dataset that torchvision's class `kind` reads.

    Args:
        name: what the dataset is called in reports and in the user's cache.
        kind: a class such as `torchvision.datasets.MNIST`.
        files: paths below the root that `kind` needs.
        data_root: the folder that holds them; None for the user's cache, into which they are downloaded.
        classes: names of the classes, where they are not to be those of `kind`.

    Raises:
        DatasetError: for a file that is missing or damaged.
        OutsideError: if the download fails.
    """
    root = _downloaded(name, kind) if data_root is None else data_root
    for file in files:
        if not (root / file).is_file():
            raise DatasetError(f"{name}: expected the file {file} in {root}, found none")
    try:
        train, test = (kind(root, train=train, download=False) for train in (True, False))
    except Exception as error:  # torchvision answers damaged files with whatever it stumbles over
        raise DatasetError(f"{name}: the files in {root} are damaged ({first_line(error)})") from error
    train_images, test_images = _images(train), _images(test)
    return Source(
        name,
        classes or tuple(train.classes),
        _samples("training image", train_images, train.targets),
        _samples("test image", test_images, test.targets),
        lambda train, test: (train_images[train].contiguous(), test_images[test].contiguous()),
    )


def _images(dataset: Any) -> Tensor:
    images = torch.as_tensor(dataset.data)  # (N, H, W) or (N, H, W, C)
    return images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)


def _samples(title: str, images: Tensor, targets: Any) -> Samples:
    labels = torch.as_tensor(targets, dtype=torch.int64)
    if len(images) != len(labels):
        raise DatasetError(f"{title}s: expected as many labels as images, got {len(labels)} and {len(images)}")
    return Samples(labels, [f"{title} {index}" for index in range(len(labels))])


def _downloaded(name: str, kind: Any) -> Path:
    """The folder in the user's cache that holds the dataset, downloaded if it is not there yet, whole or not at all."""
    root = Path.home() / ".cache" / "defensive-distillation" / name
    if root.is_dir():
        return root
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=root.parent) as temporary:
            with _socket_timeout(_DOWNLOAD_TIMEOUT):
                kind(Path(temporary, name), train=True, download=True)
            if not root.is_dir():  # another process may have been faster
                Path(temporary, name).rename(root)
    except (OSError, RuntimeError, HTTPException) as error:
        raise OutsideError(
            f"could not download {kind.__name__} ({first_line(error)}); give a folder that holds it with --data-root"
        ) from error
    return root


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Torchvision's downloads take no timeout and would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
