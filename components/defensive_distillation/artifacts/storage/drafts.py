"""Folders that become an artifact when they are whole: beside its place, locked while their writer lives."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def draft(place: Path) -> Iterator[Path]:
    """An empty folder beside `place`, gone afterwards; those of dead writers are removed, as are folders made for it.

    Raises:
        OSError: if it cannot be made.
    """
    made = [folder for folder in place.parents if not folder.exists()]
    _remove_abandoned(place)
    folder = place.parent / f".{place.name}.draft-{secrets.token_hex(8)}"
    folder.mkdir(parents=True)  # not mkdtemp's mode: the next stage may run as another user
    lock = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every file system locks; nothing is taken for abandoned there
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # the first that holds something ends it
            for above in made:
                above.rmdir()


def remove_all_abandoned(root: Path) -> None:
    """Removes what killed writers left anywhere below `root`, where nothing but artifacts lies."""
    for entry in list(root.rglob(".*.draft-*")):
        _remove_if_abandoned(entry, ".+")


def _remove_abandoned(place: Path) -> None:
    with suppress(FileNotFoundError):
        for entry in place.parent.iterdir():
            _remove_if_abandoned(entry, re.escape(place.name))


def _remove_if_abandoned(folder: Path, name: str) -> None:
    ours = re.fullmatch(rf"\.{name}\.draft-([0-9]+|[0-9a-f]{{16}})", folder.name)
    if ours and folder.is_dir() and not folder.is_symlink():
        _remove_unlocked(folder)


def _remove_unlocked(folder: Path) -> None:
    with suppress(OSError):
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
