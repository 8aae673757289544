"""Making a sweep the champion: copies of its evaluations, its models as versions in the registry, the alias at last."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from defensive_distillation import artifacts
from defensive_distillation.artifacts import Artifact
from defensive_distillation.errors import ArtifactError
from defensive_distillation.model_id import ModelId
from defensive_distillation.tracking.client import reported
from defensive_distillation.tracking.registry import names
from defensive_distillation.tracking.registry.champion import EVALUATIONS, RUN, aliased, together
from defensive_distillation.tracking.registry.exported import export
from defensive_distillation.tracking.sweeps import RecordedModel, RecordedSweep

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

ROLES = ("baseline", "defended")  # a control is the baseline with its logits multiplied
_MODEL, _DIGEST = "model", "defdistill.model"  # folder of the exported model in its run; tag, digest of the artifact


@dataclass(frozen=True)
class Promoted:
    """A version in the registry."""

    name: str
    version: str
    label: str  # of the model, '' for the sweep
    new: bool  # whether it, or its alias, was not there before


def promote(
    sweep: RecordedSweep,
    evaluations: Sequence[Artifact],
    experiment: str,
    locate: Callable[[RecordedModel, str], str],
) -> list[Promoted]:
    """Registers a sweep and its models; whatever is there already stays as it is.

    The sweep's alias moves when all else is done, in one step: whoever looks finds the old champion or the new one.
    Those of its models follow, for people alone.

    Args:
        sweep: that becomes the champion.
        evaluations: of all its models.
        experiment: whose champion it becomes.
        locate: where the artifact of a model with this digest lies.

    Raises:
        ArtifactError: if a model is not there whole.
        TrackingError: if the server does not answer.
    """
    with reported(sweep.uri):
        place = _copied(sweep, evaluations)
        runs = {model.label: model for model in sweep.models}
        versions = []
        for model, digest in sorted(map(_evaluated, evaluations), key=lambda pair: pair[0].order):
            if model.role in ROLES:
                of_model = runs[model.label]
                versions.append((model.label, *_model(sweep, of_model, experiment, model, digest, locate)))
        tags = {RUN: sweep.parent_id, EVALUATIONS: place, "defdistill.pipeline_run": sweep.name}
        version, new = _version(sweep, names.of_sweep(experiment), sweep.parent_id, place, tags)
        found = [("", version, new), *versions]
        return [_aliased(sweep, label, version, new) for label, version, new in found]


def _evaluated(evaluation: Artifact) -> tuple[ModelId, str]:
    """The network that an evaluation is of, and the digest of its artifact."""
    return ModelId.required(evaluation.facts, evaluation.location), evaluation.manifest.inputs["model"][0]


def _copied(sweep: RecordedSweep, evaluations: Sequence[Artifact]) -> str:
    """The folder of the sweep's run that holds its evaluations from now on, whatever becomes of the first."""
    place = f"champion/{together([evaluation.digest for evaluation in evaluations])}"
    for evaluation in evaluations:
        below = f"{place}/{evaluation.digest[:12]}"
        wanted = {path.name: path.stat().st_size for path in evaluation.folder.iterdir()}
        there = sweep.client.list_artifacts(sweep.parent_id, below)
        if {Path(file.path).name: file.file_size for file in there} != wanted:
            sweep.client.log_artifacts(sweep.parent_id, str(evaluation.folder), below)
    return place


def _model(
    sweep: RecordedSweep,
    recorded: RecordedModel,
    experiment: str,
    model: ModelId,
    digest: str,
    locate: Callable[[RecordedModel, str], str],
) -> tuple[ModelVersion, bool]:
    """The version of a model, which is exported if there is none."""
    name, tags = names.of_model(experiment, model), {RUN: sweep.parent_id, _DIGEST: digest}
    known = _known(sweep, name, tags)
    if known is not None:
        return known, False
    with (
        artifacts.opened(locate(recorded, digest), "model") as artifact,
        tempfile.TemporaryDirectory(prefix="defdistill-") as folder,
    ):
        if artifact.digest != digest:
            raise ArtifactError(
                f"{artifact.location}: expected the model {model.label} that was evaluated, {digest[:12]}, "
                f"got {artifact.digest[:12]}"
            )
        export(artifact, Path(folder, _MODEL))
        sweep.client.log_artifacts(recorded.run_id, str(Path(folder, _MODEL)), _MODEL)
    return _version(sweep, name, recorded.run_id, _MODEL, tags)


def _version(
    sweep: RecordedSweep, name: str, run_id: str, place: str, tags: Mapping[str, str]
) -> tuple[ModelVersion, bool]:
    """The version with these tags, and whether it had to be made."""
    known = _known(sweep, name, tags)
    if known is not None:
        return known, False
    from mlflow.exceptions import MlflowException

    try:
        sweep.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"runs:/{run_id}/{place}"
    return sweep.client.create_model_version(name, source, run_id, tags=dict(tags)), True


def _known(sweep: RecordedSweep, name: str, tags: Mapping[str, str]) -> ModelVersion | None:
    versions = sweep.client.search_model_versions(f"name = '{name}'")
    return next((one for one in versions if tags.items() <= one.tags.items()), None)


def _aliased(sweep: RecordedSweep, label: str, version: ModelVersion, new: bool) -> Promoted:
    """Moves the alias of an entry to a version, if it is not there."""
    current = aliased(sweep.client, version.name)
    moves = current is None or current.version != version.version
    if moves:
        sweep.client.set_registered_model_alias(version.name, names.ALIAS, version.version)
    return Promoted(version.name, str(version.version), label, new or moves)
