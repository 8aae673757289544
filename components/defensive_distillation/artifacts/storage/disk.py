"""What a local disk does not do by itself: files written whole or not at all, and errors that say what to do."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

from defensive_distillation.artifacts.storage.locations import nothing
from defensive_distillation.errors import ArtifactError, DefensiveDistillationError, InputError, StorageError

_PARTIAL = ".partial-"  # begins the name of what is not written to its end; never listed
_FULL = {errno.ENOSPC, errno.EDQUOT}
_ABSENT = {errno.ENOENT, errno.ENOTDIR}
_BAD_PATH = _ABSENT | {errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY}
_BAD_PATH |= {errno.EBUSY, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}


def write_bytes(path: Path, data: bytes) -> None:
    """Writes beside the path, flushes to the disk, renames; folders above are made.

    A link stays and what it leads to is written. What is no regular file, such as a device or a pipe, is written to.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file() and not path.is_dir():
        path.write_bytes(data)
        return
    with whole(path) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write beside the path, which it takes when it is whole; folders above are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{_PARTIAL}{secrets.token_hex(8)}")
    try:
        with partial.open("xb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def list_names(folder: Path) -> list[str]:
    """The names of all files below a folder, through links too, relative to it, sorted.

    Raises:
        OSError: a folder cannot be read, or holds itself.
    """

    def refuse(error: OSError) -> None:
        raise error

    names = []
    if folder.is_dir():
        for name, _, files in os.walk(folder, onerror=refuse, followlinks=True):
            above = Path(name)
            if any(above.samefile(parent) for parent in above.parents):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
            names += [(above / file).relative_to(folder).as_posix() for file in files if not file.startswith(_PARTIAL)]
    return sorted(names)


@contextmanager
def refusals(location: str | Path, use: Literal["readable", "writable"]) -> Iterator[None]:
    """What the operating system refuses inside becomes an error of this project."""
    try:
        yield
    except OSError as error:
        raise _refusal(str(location), error, use) from error


def _refusal(path: str, error: OSError, use: str) -> DefensiveDistillationError:
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return StorageError(f"{path}: expected room on the disk, found it full: free space or choose another place")
    if use == "readable" and error.errno in _ABSENT:
        return nothing(path)
    if use == "readable" and error.errno == errno.EISDIR:
        return ArtifactError(f"{path}: expected a file, found a folder")
    if error.errno in _BAD_PATH:
        return InputError(f"{path}: expected a {use} path, got '{reason}': choose another or correct its permissions")
    return StorageError(f"{path}: the disk failed: {reason}")
