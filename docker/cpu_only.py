"""Takes CUDA out of an installed PyTorch: `python cpu_only.py SITE_PACKAGES`, in the stage that builds the CPU image.

The package index has PyTorch with CUDA only, which does not load without CUDA's libraries: 4 GB for nothing where there
is no GPU. So CUDA's packages go, and each library of theirs that is asked for when PyTorch loads becomes an empty one
of the same name, in which every function answers 100, CUDA's word for 'no device'. PyTorch's own files stay as the
hashes of the lock name them. Needs gcc and binutils.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

CUDA = re.compile(r"nvidia-|cuda-|triton$")  # packages
NO_DEVICE = 100
Symbol = tuple[str, str, str]  # name, version, kind as nm says it


def main(site: Path) -> None:
    """Removes CUDA's packages, and puts empty libraries where PyTorch insists on one."""
    removed = {path.name: path for path in _of_cuda(site)}
    kept = [path for folder in ("torch", "torchvision") for path in (site / folder).rglob("*.so*") if path.is_file()]
    wanted = {name for path in kept for name, _, _ in _symbols(path, "--undefined-only")}
    empty = {
        name: [symbol for symbol in _symbols(removed[name], "--defined-only") if symbol[0] in wanted]
        for name in {name for path in kept for name in _needed(path)} & set(removed)
    }
    for path in removed.values():
        path.unlink()
    for name, symbols in sorted(empty.items()):
        _write_empty(site / "torch" / "lib" / name, symbols)
        print(f"{name}: empty, {len(symbols)} names")


def _of_cuda(site: Path) -> Iterator[Path]:
    """All files of CUDA's packages."""
    for distribution in distributions(path=[str(site)]):
        if CUDA.match(distribution.name.lower()):
            for file in distribution.files or ():
                path = Path(str(file.locate()))
                if path.is_file():
                    yield path


def _needed(library: Path) -> list[str]:
    return re.findall(r"\(NEEDED\).*\[(.*)\]", _said("readelf", "--dynamic", library))


def _symbols(library: Path, which: str) -> list[Symbol]:
    lines = (line.split() for line in _said("nm", "--dynamic", which, library).splitlines())
    return [(*_name_and_version(words[-1]), words[-2]) for words in lines]


def _name_and_version(text: str) -> tuple[str, str]:
    name, _, version = text.partition("@")
    return name, version.lstrip("@")


def _write_empty(library: Path, symbols: list[Symbol]) -> None:
    """A library that has these names and does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        source, versions = Path(folder, "empty.c"), Path(folder, "versions")
        source.write_text("".join(map(_defined, symbols)))
        versions.write_text("".join(_of_version(one, symbols) for one in sorted({v for _, v, _ in symbols if v})))
        options = [f"-Wl,--version-script={versions}"] if versions.read_text() else []
        _said("gcc", "-shared", "-fPIC", "-nostdlib", f"-Wl,-soname,{library.name}", *options, source, "-o", library)


def _defined(symbol: Symbol) -> str:
    name, _, kind = symbol
    return f"int {name}(void) {{ return {NO_DEVICE}; }}\n" if kind in "TWi" else f"char {name}[4096];\n"


def _of_version(version: str, symbols: list[Symbol]) -> str:
    names = sorted({name for name, own, _ in symbols if own == version})
    return f"{version} {{ global: {'; '.join(names)}; }};\n"


def _said(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]))
