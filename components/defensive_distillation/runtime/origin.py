"""What decides an imported network beside its settings, put into them before a run is named and a stage begins.

An alias of MLflow's registry moves, and files of weights or of code change: a run rests on the version and the digests.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from defensive_distillation.artifacts.storage.locations import is_remote
from defensive_distillation.config import ImportModelConfig
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
