"""One stage of an earlier run again, on its stored inputs: an importer for each input, then the component."""

from collections.abc import Mapping, Sequence
from typing import Any

from kfp import dsl

from defensive_distillation_pipelines.definitions import components


def rerun(stage: str, inputs: Mapping[str, Sequence[str]], settings: Mapping[str, Any], *, work: str, name: str) -> Any:
    """The pipeline that runs `stage` alone.

    Args:
        stage: its name.
        inputs: locations of the artifacts it reads, by the stage's names; of report, by the component's.
        settings: of the stage; a temperature in them goes to the component's own parameter.
        work: folder or s3:// prefix for unfinished work.
        name: of the rerun, recorded beside the first run.
    """
    values = dict(settings)
    arguments: dict[str, Any] = {"work": work, "rerun": name}
    if "temperature" in values:
        arguments["temperature"] = values.pop("temperature")

    @dsl.pipeline(name=f"rerun-{stage.replace('_', '-')}")
    def pipeline():  # KFP takes a return annotation for an output
        if stage == "report":
            arguments["baseline"] = _imported(inputs["baseline"][0])
            arguments["evaluations"] = _collected(inputs["evaluations"])
            arguments["controls"] = _collected(inputs["controls"])
        elif stage == "evaluate":
            arguments.update({key: _imported(inputs[key][0]) for key in ("dataset", "model")})
            arguments["samples"] = _collected(inputs["attacks"])
        else:
            arguments.update({key: _imported(found[0]) for key, found in inputs.items()})
        task = getattr(components, stage)(settings=values, **arguments)
        task.set_caching_options(enable_caching=False)

    return pipeline


def _collected(places: Sequence[str]) -> Any:
    with dsl.ParallelFor(list(places)) as place:
        one = _imported(place)
    return dsl.Collected(one)


def _imported(place: Any) -> Any:
    return dsl.importer(artifact_uri=place, artifact_class=dsl.Artifact, reimport=False).output
