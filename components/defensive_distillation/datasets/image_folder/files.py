"""The files of a folder, by the same two functions as those of an archive."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from defensive_distillation.datasets.image_folder.archives import MAX_FILE_BYTES, MAX_MEMBERS
from defensive_distillation.errors import DatasetError, StorageError

_MAX_DEPTH = 5  # of folders: an outer one, train or test, the class; deeper ones are refused anyway


def names(folder: Path) -> list[str]:
    """Paths of what lies below `folder`, those of folders ending in '/'.

    Raises:
        DatasetError: for more of them than an archive may have.
        StorageError: if the disk refuses.
    """
    try:
        found = list(itertools.islice(_walk(folder, "", _MAX_DEPTH), MAX_MEMBERS + 1))
    except OSError as error:
        raise StorageError(f"{folder}: {error}") from error
    if len(found) > MAX_MEMBERS:
        raise DatasetError(f"{folder}: expected at most {MAX_MEMBERS} files and folders, got more")
    return found


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
            content = _content(folder / name)
        except DatasetError as error:
            raise DatasetError(f"{name}: {error}") from error
        except OSError as error:
            raise DatasetError(f"{name}: cannot be read ({error.strerror})") from error
        yield name, content


def _content(path: Path) -> bytes:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # a pipe would wait for a writer
        known = os.fstat(file.fileno())
        if not stat.S_ISREG(known.st_mode):
            raise DatasetError("expected a plain file, got a device, pipe or socket")
        if known.st_size > MAX_FILE_BYTES:
            raise DatasetError(f"expected at most {MAX_FILE_BYTES} bytes, got {known.st_size}")
        return file.read(known.st_size)
