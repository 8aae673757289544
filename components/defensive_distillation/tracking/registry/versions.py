"""A version in the registry that somebody wants to look into: found by number or alias, and fetched."""

from __future__ import annotations

import difflib
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from defensive_distillation.addresses import shown
from defensive_distillation.artifacts import MANIFEST
from defensive_distillation.errors import InputError
from defensive_distillation.networks.forms import RegistryName, registry_name
from defensive_distillation.tracking.client import connect, reported
from defensive_distillation.tracking.registry.champion import EVALUATIONS
from defensive_distillation.tracking.registry.exported import ARTIFACT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_SQLITE, _LOGGED = "sqlite:///", "models:/m-"  # a database; a model that MLflow keeps apart from runs
_MODEL_FILE = "MLmodel"
_FAULT = ("did not give the model", "try again when it is up")
_UNKNOWN = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}  # no such model or version, no such alias


@dataclass(frozen=True)
class Files:
    """The files of a version, here.

    Attributes:
        reference: 'models:/NAME/VERSION'.
        folder: where they lie.
    """

    reference: str
    folder: Path

    @property
    def artifact(self) -> Path | None:
        """The folder of the artifact of a model that was promoted; None of a model of others."""
        found = self.folder / ARTIFACT
        return found if (found / MANIFEST).is_file() else None

    @property
    def model(self) -> Path:
        """The file that PyTorch's flavor of MLflow has written: a program of torch.export (.pt2), or a pickle (.pth).

        Raises:
            InputError: if there is none.
        """
        flavors = self._told.get("flavors", {})
        place = self.folder / str(flavors.get("pytorch", {}).get("model_data", ""))
        found = [file for name in ("model.pt2", "model.pth") if (file := place / name).is_file()]
        if "pytorch" not in flavors or not found:
            got = ", ".join(sorted(flavors)) or "nothing of MLflow"
            raise InputError(f"model: expected {self.reference} to be logged with mlflow.pytorch, got {got}")
        return found[0]

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """(C, H, W) that its signature asks for; None if it does not say."""
        try:
            (given,) = yaml.safe_load(self._told["signature"]["inputs"])
            _, *shape = given["tensor-spec"]["shape"]
        except (KeyError, TypeError, ValueError, yaml.YAMLError):
            return None
        return tuple(shape) if len(shape) == 3 and all(isinstance(size, int) and size > 0 for size in shape) else None

    @property
    def digest(self) -> str:
        """SHA-256 of what decides the network: the manifest of our artifact, or the file of the model."""
        with (self.artifact / MANIFEST if self.artifact else self.model).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def _told(self) -> dict[str, Any]:
        path = self.folder / _MODEL_FILE
        try:
            told = yaml.safe_load(path.read_text()) if path.is_file() else {}
        except yaml.YAMLError as error:
            raise InputError(f"model: expected a model of MLflow in {self.reference}, got {error}") from error
        return told if isinstance(told, dict) else {}


def version_of(model: str, uri: str) -> str:
    """'models:/NAME/VERSION' of `model`, which may name an alias.

    Args:
        model: models:/NAME@ALIAS or models:/NAME/VERSION.
        uri: of the registry.

    Raises:
        InputError: if the registry is none, or has no such version.
        TrackingError: if it does not answer.
    """
    found = _found(registry_name(model), uri)
    return str(RegistryName(found.name, version=str(found.version)))


@contextmanager
def files_of(model: str, uri: str) -> Iterator[Files]:
    """The files of a version, for the length of a block.

    Args:
        model: models:/NAME@ALIAS or models:/NAME/VERSION.
        uri: of the registry.

    Raises:
        InputError: if the registry is none, or has no such version, or that has no files.
        TrackingError: if it does not answer.
    """
    found = _found(registry_name(model), uri)
    if EVALUATIONS in found.tags:
        with reported(uri, *_FAULT):
            entries = connect(uri).search_registered_models(f"name LIKE '{found.name}-%'", max_results=20)
        raise InputError(
            f"model: expected a model, got {found.name}, which is a sweep; its models are "
            f"{', '.join(entry.name for entry in entries)}"
        )
    with tempfile.TemporaryDirectory(prefix="defdistill-") as folder:
        with reported(uri, *_FAULT):
            import mlflow.artifacts

            client = connect(uri)
            place = client.get_model_version_download_uri(found.name, str(found.version))
            if place.startswith(_LOGGED):
                place = client.get_logged_model(place.removeprefix("models:/")).artifact_location
            mlflow.artifacts.download_artifacts(artifact_uri=place, dst_path=folder, tracking_uri=uri)
        here = sorted(Path(folder).rglob(_MODEL_FILE)) or [Path(folder, _MODEL_FILE)]
        yield Files(str(RegistryName(found.name, version=str(found.version))), here[0].parent)


def _found(wanted: RegistryName, uri: str) -> ModelVersion:
    """The version in the registry."""
    database = uri.removeprefix(_SQLITE)
    if not uri or (uri.startswith(_SQLITE) and not Path(database).is_file()):
        raise InputError(
            f"model: expected MLFLOW_TRACKING_URI to name the registry that has {wanted}, got "
            f"{f'no database at {database}' if uri else 'none'}"
        )
    with reported(uri, *_FAULT):
        from mlflow.exceptions import MlflowException

        client = connect(uri)
        try:
            if wanted.alias:
                return client.get_model_version_by_alias(wanted.name, wanted.alias)
            return client.get_model_version(wanted.name, wanted.version)
        except MlflowException as error:
            if error.error_code not in _UNKNOWN:
                raise
            raise InputError(_unknown(client, wanted, uri)) from error


def _unknown(client: MlflowClient, wanted: RegistryName, uri: str) -> str:
    """What the registry has instead."""
    where = shown(uri)
    known = [entry.name for entry in client.search_registered_models(max_results=1000)]
    if wanted.name not in known:
        near = difflib.get_close_matches(wanted.name, known, n=3) or known[:3]
        hint = f"it has {', '.join(near)}" if near else "it has none"
        return f"model: expected a model in the registry at {where}, got {wanted.name!r}; {hint}"
    if wanted.alias:
        aliases = ", ".join(client.get_registered_model(wanted.name).aliases) or "none"
        return f"model: expected an alias of {wanted.name}, which has {aliases}, got {wanted.alias!r}"
    numbers = sorted(int(one.version) for one in client.search_model_versions(f"name = '{wanted.name}'"))
    has = ", ".join(map(str, numbers[-5:])) or "none"
    return f"model: expected a version of {wanted.name}, which has {has}, got {wanted.version}"
