"""How somebody's own network is named; without PyTorch, for the settings and the command line."""

from __future__ import annotations

import difflib
import functools
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from defensive_distillation.errors import InputError

REGISTERED = ("torchvision:", "timm:")  # libraries whose networks are known by name, and have random weights at first
REGISTRY = "models:/"  # of MLflow
FORMS = "torchvision:NAME, timm:NAME, package.module:factory, models:/NAME@ALIAS, models:/NAME/VERSION or FILE.onnx"


OWN = ("papernot_mnist", "papernot_cifar10")  # architectures that are trained here, without a name after a colon
_BUILT = ("torchvision", "rbf", "denoised")  # and with one
_REGISTERED = re.compile(r"^@register_model\(\)\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)


@dataclass(frozen=True)
class RegistryName:
    """A version in MLflow's registry by its number, or by an alias, which moves; the other is ''."""

    name: str
    version: str = ""
    alias: str = ""

    def __str__(self) -> str:
        return f"{REGISTRY}{self.name}@{self.alias}" if self.alias else f"{REGISTRY}{self.name}/{self.version}"

    @property
    def label(self) -> str:
        """For people, without what a label may not have: 'NAME v3'."""
        return f"{self.name}@{self.alias}" if self.alias else f"{self.name} v{self.version}"


def check_architecture(name: str) -> None:
    """Raises InputError unless `name` is of a form that networks which are trained here have."""
    kind, colon, inner = name.partition(":")
    if kind == "denoised" and colon:
        check_architecture(inner)
    elif name not in OWN and not (kind in _BUILT and colon):
        meant = f"; torchvision's would be torchvision:{name}" if name.isidentifier() else ""
        raise InputError(
            f"architecture: expected {', '.join(OWN)}, torchvision:NAME, rbf:UNITS or denoised:ARCHITECTURE, "
            f"got {name!r}{meant}"
        )

    elif kind == "torchvision" and (known := torchvision_names()) and inner not in known:
        near = difflib.get_close_matches(inner, known, n=3) or known[:3]
        raise InputError(f"architecture: expected a torchvision classifier such as {', '.join(near)}, got {inner!r}")


@functools.cache
def torchvision_names() -> tuple[str, ...]:
    """The classifiers of torchvision, as its files register them, for it takes seconds to import; none without it."""
    found = find_spec("torchvision")
    if found is None or found.origin is None:
        return ()
    files = sorted(Path(found.origin).parent.joinpath("models").glob("*.py"))
    registered = (_REGISTERED.findall(path.read_text(encoding="utf-8")) for path in files)
    return tuple(sorted(name for names in registered for name in names))


def is_onnx(name: str) -> bool:
    """Whether a network is given as an ONNX file."""
    return name.lower().endswith(".onnx") and not in_registry(name)


def in_registry(name: str) -> bool:
    """Whether a network is given as a version in MLflow's registry."""
    return name.startswith(REGISTRY)


def registry_name(name: str) -> RegistryName:
    """What `name` says, which begins with models:/.

    Raises:
        InputError: if it says neither a version nor an alias.
    """
    model, _, version = name.removeprefix(REGISTRY).partition("/")
    if model and version.isdecimal() and "@" not in model:
        return RegistryName(model, version=version)
    model, _, alias = name.removeprefix(REGISTRY).partition("@")
    if model and alias and "/" not in model + alias:
        return RegistryName(model, alias=alias)
    raise InputError(f"model: expected models:/NAME@ALIAS or models:/NAME/VERSION, got {name!r}")


def code_digest(names: Iterable[str | None]) -> str | None:
    """SHA-256 of the files of the modules that `names` are in, each 'package.module:function'.

    Of a package it is the file that is imported by its name; what a module imports itself does not count.

    Returns:
        None where no name is in a module, or one of them is not found here.
    """
    modules = sorted({name.partition(":")[0] for name in names if name and _in_module(name)})
    files = [_file(module) for module in modules]
    if not files or None in files:
        return None
    digest = hashlib.sha256()
    for module, file in zip(modules, files, strict=True):
        assert file is not None
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{module} {content}\n".encode())
    return digest.hexdigest()


def _in_module(name: str) -> bool:
    return ":" in name and not name.startswith(REGISTERED) and not in_registry(name) and not is_onnx(name)


def _file(module: str) -> Path | None:
    """Where a module's source lies, None if it is not found or has none."""
    try:
        found = find_spec(module)
    except Exception:  # whatever a package above it raises: who imports it later says so
        return None
    return Path(found.origin) if found and found.origin and Path(found.origin).is_file() else None
