"""What of the store each run uses: what it made, and all that this was made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from defensive_distillation import artifacts
from defensive_distillation.artifacts import Stored
from defensive_distillation.errors import DefensiveDistillationError
from defensive_distillation_pipelines.local.run_folder import RunFolder
from defensive_distillation_pipelines.local.workspace import Workspace


def used(run: RunFolder, store: Mapping[str, Stored]) -> set[str]:
    """Digests of the artifacts of the store behind a run's report, and of whatever else it has made.

    Args:
        run: of a workspace.
        store: the artifacts of that workspace by digest.
    """
    found: set[str] = set()
    waiting = list(run.own())
    for report in all_stored(run.workspace, run.report):  # also where the store has it no more
        waiting += [digest for several in report.manifest.inputs.values() for digest in several]
    while waiting:
        digest = waiting.pop()
        if digest in store and digest not in found:
            found.add(digest)
            waiting += [other for several in store[digest].manifest.inputs.values() for other in several]
    return found


def all_stored(workspace: Workspace, below: Path | None = None) -> list[Stored]:
    """All artifacts of a workspace's store, or below another folder; those that are damaged are left out."""
    found = []
    for path in sorted((below or workspace.store).rglob(artifacts.MANIFEST)):
        with suppress(DefensiveDistillationError):
            found.append(artifacts.stored(str(path.parent)))
    return found


def size(stored: Stored) -> int:
    """Bytes of an artifact's files, as its manifest has them."""
    return sum(entry.bytes for entry in stored.manifest.files.values())


def size_on_disk(paths: Iterable[Path]) -> int:
    """Bytes of all files below some places, which need not be there; links count as nothing."""
    files = (path for place in paths for path in (place.rglob("*") if place.is_dir() else [place]))
    return sum(path.lstat().st_size for path in files if path.is_file() and not path.is_symlink())


def megabytes(count: int) -> str:
    """Bytes for people: '12.3 MB'."""
    return f"{count / 1e6:,.1f} MB"
