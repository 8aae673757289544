"""Which code a stage runs: a digest of its file and of all files of this package that it imports, directly or not.

A change in a figure makes a report stale, not a training. Where a file lies decides whether it counts: the folders of
`SURROUNDING` hold how a stage is called, watched, stored and recorded, all others what it computes. A module that finds
others by itself (it imports pkgutil) counts with all that lie beside and below it, and one that fills templates (it
imports jinja2) with those of its room. A function that is named in a text such as
'defensive_distillation.attacks.jsma:jsma' counts, and so do the modules that DEFDISTILL_PLUGINS names. The digest is
read off the sources without importing them.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from defensive_distillation import plugins

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT.name
SURROUNDING = ("runtime", "tracking", "config", "artifacts/storage")  # their values stand in a stage's configuration
_TEMPLATES = {".css", ".html"}
_NAMED = re.compile(rf"{PACKAGE}(\.\w+)+:\w+")


@functools.cache
def code_digest(stage: str) -> str:
    """Twelve hexadecimal digits for the code that decides the results of `stage`."""
    digest = hashlib.sha256()
    files = _closure(ROOT / "stages" / f"{stage}.py")
    for path in sorted(files):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    if ROOT / "plugins.py" in files:
        for path in plugins.sources():
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _closure(start: Path) -> set[Path]:
    found, waiting = {start}, [start]
    while waiting:
        needed = _needed(waiting.pop()) - found
        found |= needed
        waiting += [path for path in needed if path.suffix == ".py"]
    return found


def _needed(path: Path) -> set[Path]:
    """The files of this package that decide results and that the one at `path` imports, finds or names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = set(_imported(tree))
    files = {file for module in modules for file in _files(module)}
    if "pkgutil" in modules:
        files |= set(path.parent.rglob("*.py"))
    if "jinja2" in modules:
        room = ROOT / path.relative_to(ROOT).parts[0]
        files |= {file for file in room.rglob("*") if file.suffix in _TEMPLATES}
    return files


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _NAMED.fullmatch(node.value):
            yield node.value.partition(":")[0]


def _files(module: str) -> list[Path]:
    package, *parts = module.split(".")
    place = "/".join(parts)
    if package != PACKAGE or not parts or any(f"{place}/".startswith(f"{room}/") for room in SURROUNDING):
        return []
    path = ROOT / place
    return [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()]
