"""What decides a result beside its settings, put into them before a run is named and a stage begins.

An alias of MLflow's registry moves, and files of weights, of code or of images change: a run rests on the version and
the digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from defensive_distillation.artifacts.storage.locations import is_remote
from defensive_distillation.config import ImportModelConfig, PrepareDataConfig
from defensive_distillation.datasets.sources import NAMED
from defensive_distillation.errors import InputError
from defensive_distillation.networks.forms import code_digest, in_registry, is_onnx


def settled(config: ImportModelConfig, registry: str) -> ImportModelConfig:
    """`config` with a version in place of an alias, and the digests of what the network is read from and built by.

    Args:
        config: a digest that it has stays.
        registry: URI of MLflow, '' for none.

    Raises:
        InputError: if the registry is none or has no such model.
        TrackingError: if it does not answer.
    """
    code = config.code_sha256 or code_digest([config.model, config.input_step])
    config = config.model_copy(update={"code_sha256": code})
    if not in_registry(config.model):
        digest = config.sha256 or _sha256(config.model if is_onnx(config.model) else config.weights)
        return config.model_copy(update={"sha256": digest})
    from defensive_distillation.tracking.registry.versions import files_of, version_of

    if config.sha256 is not None:
        return (
            config.model_copy(update={"model": version_of(config.model, registry)}) if "@" in config.model else config
        )
    with files_of(config.model, registry) as files:
        return config.model_copy(update={"model": files.reference, "sha256": files.digest})


def _sha256(place: str | None) -> str | None:
    """Of a file here."""
    if place is None or is_remote(place) or not Path(place).is_file():
        return None
    with Path(place).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_images(config: PrepareDataConfig) -> PrepareDataConfig:
    """`config` with the digest of a folder or archive here; one elsewhere is as it is called.

    Raises:
        InputError: if it cannot be read.
    """
    place = Path(config.source)
    if config.source in NAMED or is_remote(config.source) or not place.exists():
        return config
    kind = (config.content or "times").partition(":")[0]
    digest = hashlib.sha256()
    try:
        for path in _files(place):
            told = path.stat()
            name = path.relative_to(place).as_posix().encode("utf-8", "surrogateescape")
            digest.update(b"%s\0%d\0" % (name, told.st_size))
            digest.update((_sha256(str(path)) or "").encode() if kind == "bytes" else b"%d" % told.st_mtime_ns)
    except OSError as error:
        raise InputError(f"prepare_data.source: expected files that can be read, got {place}: {error}") from error
    return config.model_copy(update={"content": f"{kind}:{digest.hexdigest()}"})


def _files(place: Path) -> Iterator[Path]:
    """A file itself, or the regular files of a folder in the order of their names."""
    if place.is_file():
        yield place
    elif place.is_dir():
        yield from sorted(path for path in place.rglob("*") if path.is_file())
