"""A stage of an earlier run again: its inputs are looked up by what the artifacts say of themselves.

An artifact's manifest names what it was made from by digest. Where the artifacts of a run lie stands in MLflow; their
manifests then lead from a stage and a model to the inputs that it had.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from defensive_distillation import artifacts
from defensive_distillation.artifacts import Stored
from defensive_distillation.config import STAGES, loading
from defensive_distillation.errors import ArtifactError, DefensiveDistillationError, InputError
from defensive_distillation.model_id import BASELINE
from defensive_distillation.runtime.failure import in_one_line
from defensive_distillation.runtime.kubeflow.artifact import Given
from defensive_distillation.runtime.step import Inputs, KfpArtifact, run
from defensive_distillation.tracking.lineage import locations


class Request(BaseModel):
    """What is run again.

    Attributes:
        inputs: locations of the stage's inputs by name, with `settings`; or
        runs: names of pipeline runs as MLflow has them, of which the stage is run again on the same inputs, or as one
            report over all their networks,
        model: label of the network, '' for the sweep as a whole, and
        changes: of the settings that the stage had there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: dict[str, tuple[str, ...]] = {}
    settings: dict[str, Any] = {}
    runs: tuple[str, ...] = ()
    model: str = ""
    changes: dict[str, Any] = {}


def again(stage: str, request: Mapping[str, Any], output: KfpArtifact, step: Mapping[str, Any]) -> None:
    """Runs a stage again inside a step; a failure ends the process (runtime/failure.py).

    Args:
        stage: its name.
        request: a `Request` as plain values.
        output: Kubeflow's output artifact.
        step: a `Step` as plain values.
    """
    with in_one_line(f"rerun {stage}"):
        asked = Request.model_validate(request)
        told = asked.inputs or not asked.runs
        inputs, settings = (asked.inputs, asked.settings) if told else _looked_up(stage, asked)
    for name, places in inputs.items():
        print(f"{stage}: {name} is {', '.join(places)}", flush=True)
    beside = {"beside": asked.runs[0]} if asked.runs and step.get("rerun") else {}
    run(stage, settings, _given(stage, inputs), output, {**step, **beside})


def _given(stage: str, inputs: Mapping[str, Sequence[str]]) -> Inputs:
    several = {name: [Given(name, place) for place in places] for name, places in inputs.items()}
    return {name: given if STAGES[stage].reads[name].many else given[0] for name, given in several.items()}


def _looked_up(stage: str, request: Request) -> tuple[dict[str, tuple[str, ...]], dict[str, Any]]:
    made = [one for name in request.runs for one in _made(locations(name))]
    if stage == "report":
        first = {one.label: one for one in reversed(made) if one.manifest.kind == "evaluation"}
        settings = next((dict(one.manifest.config) for one in made if one.manifest.stage == stage), {})
        inputs: dict[str, tuple[str, ...]] = {"evaluations": tuple(one.location for one in first.values())}
    else:
        inputs, settings = stored_inputs(stage, request.model, made)
    return inputs, loading.merged(settings, request.changes)


def _made(places: Iterable[str]) -> list[Stored]:
    """The artifacts at these places that can still be read."""
    found = []
    for place in places:
        try:
            found.append(artifacts.stored(place))
        except DefensiveDistillationError as error:
            print(f"left out: {error}", flush=True)
    return found


def stored_inputs(stage: str, label: str, made: Sequence[Stored]) -> tuple[dict[str, tuple[str, ...]], dict[str, Any]]:
    """Where the inputs lie that `stage` had when it worked for the network called `label`, and its settings.

    Raises:
        InputError: if the stage was not run for it.
        ArtifactError: if one of its inputs is gone.
    """
    of_model = [one for one in made if one.label == label]
    runs = [one for one in of_model if one.manifest.stage == stage]
    if not runs:
        labels = sorted({one.label for one in made if one.label})
        stages = sorted({one.manifest.stage for one in of_model})
        raise InputError(
            f"rerun: expected a stage of {', '.join(labels)}, which {label or 'the sweep'} has as "
            f"{', '.join(stages) or 'none'}, got {stage}"
        )
    baseline = next((o for o in made if o.label == BASELINE.label and o.manifest.stage == "train_teacher"), None)
    surrogate = baseline.location if baseline is not None and label != BASELINE.label else None
    return as_before(runs, {one.digest: one.location for one in made}, surrogate)


def as_before(
    runs: Sequence[Stored], by_digest: Mapping[str, str], surrogate: str | None
) -> tuple[dict[str, tuple[str, ...]], dict[str, Any]]:
    """Where the inputs lie that a stage had, by its names, and its settings.

    Args:
        runs: what it made for one network, several artifacts of attack.
        by_digest: where the artifacts of the earlier run lie.
        surrogate: where the undistilled network lies, None where samples are not transferred.

    Raises:
        ArtifactError: if an input is gone.
    """
    # of several steps of attacks the paper's, unless the settings name others
    chosen = next((one for one in runs if "jsma" in one.manifest.config.get("attacks", ())), runs[0])
    stage, settings = chosen.manifest.stage, dict(chosen.manifest.config)
    places = {
        name: _places(digests, by_digest)
        for name, digests in chosen.manifest.inputs.items()
        # a champion is of another run, and is looked for again; samples are crafted again, by what settings there are
        if name != "crafted" and (not STAGES[stage].reads[name].optional or set(digests) <= set(by_digest))
    }
    if stage == "attack":
        if surrogate is not None:
            places["surrogate"] = (surrogate,)
        settings |= {"shards": 1, "shard": 0}  # one step for all samples, unless the settings say otherwise
    return places, settings


def _places(digests: Sequence[str], by_digest: Mapping[str, str]) -> tuple[str, ...]:
    gone = [digest for digest in digests if digest not in by_digest]
    if gone:
        raise ArtifactError(f"rerun: expected the artifact {gone[0][:12]} of the earlier run, it is no longer there")
    return tuple(by_digest[digest] for digest in digests)
