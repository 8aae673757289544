"""Files by location, a local path or `s3://bucket/prefix` treated alike; copies between S3 and a local folder.

What is wrong with a location, or may not be read or written, is an InputError; a disk that is full or fails, or a
server that refuses, does not answer or has no such bucket, is a StorageError.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from defensive_distillation.artifacts.storage import disk, s3
from defensive_distillation.artifacts.storage.locations import is_remote, join
from defensive_distillation.artifacts.storage.s3 import created, download, download_file, upload

__all__ = [
    "created",
    "download",
    "download_file",
    "exists",
    "is_remote",
    "join",
    "list_names",
    "read_bytes",
    "remove",
    "upload",
    "write_bytes",
]


def exists(location: str) -> bool:
    """Whether there is a file, or an object of exactly this key; a folder or a prefix is not enough."""
    if is_remote(location):
        return s3.exists(location)
    with disk.refusals(location, "readable"):
        return Path(location).is_file()


def read_bytes(location: str) -> bytes:
    """The content of a file.

    Raises:
        ArtifactError: there is no such file.
    """
    if is_remote(location):
        return s3.read_bytes(location)
    with disk.refusals(location, "readable"):
        return Path(location).read_bytes()


def write_bytes(location: str, data: bytes) -> None:
    """Writes a file, whole or not at all; folders above it are made."""
    if is_remote(location):
        s3.write_bytes(location, data)
    else:
        with disk.refusals(location, "writable"):
            disk.write_bytes(Path(location), data)


def list_names(location: str) -> list[str]:
    """The names of all files below a folder or prefix, relative to it, sorted; none where there is no such folder."""
    if is_remote(location):
        return s3.list_names(location)
    with disk.refusals(location, "readable"):
        return disk.list_names(Path(location))


def remove(location: str) -> None:
    """Removes a file, or everything below a folder or prefix, but no whole bucket; no error if there is nothing."""
    if is_remote(location):
        s3.remove(location)
        return
    with disk.refusals(location, "writable"), suppress(FileNotFoundError, NotADirectoryError):
        path = Path(location)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
