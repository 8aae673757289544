"""The champion: the sweep that others are compared with, as MLflow's registry names it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from defensive_distillation import artifacts
from defensive_distillation.artifacts import MANIFEST, file_digest
from defensive_distillation.errors import ArtifactError
from defensive_distillation.tracking.client import connect, reported
from defensive_distillation.tracking.connection import tracking_uri
from defensive_distillation.tracking.registry import names

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

RUN, EVALUATIONS = "defdistill.run", "defdistill.evaluations"  # tags of a version: run of MLflow, folder of its files
_NONE_YET = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"}  # no such alias, no such model


@dataclass(frozen=True)
class Registry:
    """The model registry of one server."""

    client: MlflowClient
    uri: str

    @classmethod
    def of(cls, uri: str) -> Registry:
        """The registry of the server or database at `uri`.

        Raises:
            TrackingError: if it does not answer.
        """
        with reported(uri):
            return cls(connect(uri), uri)

    def champions(self) -> list[tuple[str, str, str]]:
        """Entry, version and pipeline run of every sweep that is a champion.

        Raises:
            TrackingError: if the server does not answer.
        """
        with reported(self.uri):
            entries = self.client.search_registered_models(f"name LIKE '{names.PREFIX}-%'", max_results=1000)
            found = [version for entry in entries if (version := aliased(self.client, entry.name))]
        return [
            (one.name, str(one.version), one.tags.get("defdistill.pipeline_run", one.tags[RUN]))
            for one in found
            if EVALUATIONS in one.tags
        ]

    def champion(self, experiment: str) -> ModelVersion | None:
        """The champion of an experiment, None as long as there is none.

        Raises:
            TrackingError: if the server does not answer.
        """
        with reported(self.uri):
            return aliased(self.client, names.of_sweep(experiment))

    def evaluations(self, experiment: str, folder: Path) -> list[str]:
        """Where in `folder` the champion's evaluations lie, which are fetched into it; none without a champion.

        Raises:
            TrackingError: if the server does not answer.
            ArtifactError: if they are not what was promoted.
        """
        version = self.champion(experiment)
        if version is None:
            return []
        what = f"champion {version.name} version {version.version}"
        if RUN not in version.tags or EVALUATIONS not in version.tags:
            raise ArtifactError(f"{what}: expected one that defdistill promote has made, got one without its tags")
        place = version.tags[EVALUATIONS]
        with reported(self.uri):
            here = Path(self.client.download_artifacts(version.tags[RUN], place, str(folder)))
        found = sorted(path.parent for path in here.rglob(MANIFEST))
        if place.rpartition("/")[2] != together([file_digest(path / MANIFEST) for path in found]):
            raise ArtifactError(f"{what}: its evaluations in MLflow are not those that were promoted; promote again")
        return [str(path) for path in found]


def registry() -> Registry | None:
    """The registry of the server that the environment names, None without one.

    Raises:
        TrackingError: if the server does not answer.
    """
    uri = tracking_uri()
    return Registry.of(uri) if uri else None


def aliased(client: MlflowClient, name: str) -> ModelVersion | None:
    """The version of an entry that the alias names, None if there is no such alias or no such entry."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, names.ALIAS)
    except MlflowException as error:
        if error.error_code in _NONE_YET:
            return None
        raise


def together(digests: list[str]) -> str:
    """One digest for several artifacts, which names the folder of their copies."""
    return artifacts.fingerprint("champion", "", {}, {"evaluations": sorted(digests)})[:32]
