"""Which code a stage runs: a digest of its file and of all files of this package that it imports, directly or not.

A change in figures.py makes a report stale, not a training. The digest is part of the cache key, stands in every
artifact, and is read off the sources without importing them.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path

PACKAGE = __name__.rpartition(".")[0]
ROOT = Path(__file__).parent
# they decide how a stage is called, reported and stored, not what it computes
INCIDENTAL = frozenset(
    {"artifacts", "code_version", "config", "errors", "pictures", "progress"}
    | {"outbox", "recording", "records", "settings", "stage_command", "stage_run", "stopwatch", "storage", "tracking"}
)


@functools.cache
def code_digest(stage: str) -> str:
    """Twelve hexadecimal digits for the code that decides the results of `stage`."""
    digest = hashlib.sha256()
    modules = _closure(ROOT / "stages" / f"{stage}.py")
    data = {path for folder in {module.parent for module in modules} for path in folder.glob("*.css")}
    for path in sorted(modules | data):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _closure(start: Path) -> set[Path]:
    found, waiting = {start}, [start]
    while waiting:
        for path in _imports(waiting.pop()) - found:
            found.add(path)
            waiting.append(path)
    return found


def _imports(path: Path) -> set[Path]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
            modules.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {file for module in modules for file in _files(module)}


def _files(module: str) -> list[Path]:
    parts = module.split(".")
    if parts[0] != PACKAGE or len(parts) < 2 or parts[1] in INCIDENTAL:
        return []
    place = ROOT.joinpath(*parts[1:])
    return [file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()]
