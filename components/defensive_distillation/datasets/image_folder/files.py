"""The files of a folder, by the same two functions as those of an archive."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from defensive_distillation.errors import DatasetError, StorageError

_MAX_DEPTH = 5  # of folders: an outer one, train or test, the class; deeper ones are refused anyway


def names(folder: Path) -> list[str]:
    """Paths of what lies below `folder`, those of folders ending in '/'.

    Raises:
        StorageError: if the disk refuses.
    """
    try:
        return list(_walk(folder, "", _MAX_DEPTH))
    except OSError as error:
        raise StorageError(f"{folder}: {error}") from error


def _walk(folder: Path, prefix: str, depth: int) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_dir():
                yield prefix + entry.name
            elif depth > 0:  # links between folders may go in circles
                yield f"{prefix}{entry.name}/"
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", depth - 1)


def contents(folder: Path, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the wanted files below `folder`.

    Raises:
        DatasetError: for a file that cannot be read.
    """
    for name in wanted:
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            raise DatasetError(f"{name}: cannot be read ({error.strerror})") from error
        yield name, content
