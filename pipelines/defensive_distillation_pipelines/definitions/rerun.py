"""One stage of an earlier run again, on its stored inputs: an importer for each input, then the component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kfp import dsl

from defensive_distillation.config import STAGES
from defensive_distillation_pipelines.definitions.components import component


def rerun(stage: str, inputs: Mapping[str, Sequence[str]], settings: Mapping[str, Any], *, work: str, name: str) -> Any:
    """The pipeline that runs `stage` alone.

    Args:
        stage: its name.
        inputs: locations of the artifacts it reads, by the stage's names.
        settings: of the stage; a temperature in them goes to the component's own parameter.
        work: folder or s3:// prefix for unfinished work.
        name: of the rerun, recorded beside the first run.
    """
    values = dict(settings)
    arguments: dict[str, Any] = {"step": {"work": work, "code": "", "rerun": name}}
    if "temperature" in values:
        arguments["temperature"] = values.pop("temperature")

    def pipeline():  # KFP takes a return annotation for an output
        for key, places in inputs.items():
            arguments[key] = _collected(places) if STAGES[stage].reads[key].many else _imported(places[0])
        lists = {key: (f"{key}*",) for key in inputs if STAGES[stage].reads[key].many}
        task = component(stage, **lists)(settings=values, **arguments)
        task.set_caching_options(enable_caching=False)

    return dsl.pipeline(name=f"rerun-{stage.replace('_', '-')}")(pipeline)


def _collected(places: Sequence[str]) -> Any:
    with dsl.ParallelFor(list(places)) as place:
        one = _imported(place)
    return dsl.Collected(one)


def _imported(place: Any) -> Any:
    return dsl.importer(artifact_uri=place, artifact_class=dsl.Artifact, reimport=False).output
