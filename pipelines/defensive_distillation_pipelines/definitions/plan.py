"""Which steps a compiled pipeline will take, and which of them each needs: read off the pipeline that Kubeflow gets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict

from defensive_distillation.config import STAGES, stage_config
from defensive_distillation.model_id import ModelId
from defensive_distillation.runtime.kubeflow.again import Request
from defensive_distillation.runtime.kubeflow.pod import RERUN, TOLD
from defensive_distillation_pipelines.definitions.package import stage_of
from defensive_distillation_pipelines.definitions.resources import FINISH

Found = list[int]  # the steps that an artifact comes from, by their places in the plan


class PlannedStep(BaseModel):
    """A step: the stage, the model that it works for, what tells it apart from others, and the steps before it.

    `path` leads to it through the pipeline: the names of tasks, a loop's with the number of the iteration, such as
    ('for-loop-4[0]', 'train-teacher-2').
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    model: ModelId | None
    part: str
    needs: tuple[int, ...]
    path: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str, str]:
        """Stage, label of the model, and part."""
        return self.stage, self.model.label if self.model else "", self.part


def plan(pipeline: Mapping[str, Any]) -> list[PlannedStep]:
    """The steps of a compiled pipeline, as a mapping, with the parameters' defaults; each after those that it needs."""
    walk = _Walk(pipeline["components"], [])
    parameters = pipeline["root"].get("inputDefinitions", {}).get("parameters", {})
    walk.dag(pipeline["root"]["dag"], {name: given.get("defaultValue") for name, given in parameters.items()}, {}, ())
    return walk.steps


@dataclass
class _Walk:
    components: Mapping[str, Any]
    steps: list[PlannedStep] = field(default_factory=list)

    def dag(
        self, dag: Mapping[str, Any], values: Mapping[str, Any], artifacts: Mapping[str, Found], path: tuple[str, ...]
    ) -> dict[str, Found]:
        """Walks through the tasks of a DAG with these inputs; its outputs."""
        made: dict[str, dict[str, Found]] = {}
        for name in _in_order(dag["tasks"]):
            task = dag["tasks"][name]
            own = {key: _value(given, values) for key, given in _inputs(task, "parameters")}
            read = {key: _artifact(given, artifacts, made) for key, given in _inputs(task, "artifacts")}
            made[name] = {}
            for number, each in enumerate(_iterations(task, own)):
                at = (*path, f"{name}[{number}]" if "parameterIterator" in task else name)
                for key, places in self._task(task["componentRef"]["name"], each, read, at).items():
                    made[name].setdefault(key, []).extend(places)
        selectors = dag.get("outputs", {}).get("artifacts", {})
        return {
            key: [
                place
                for one in output["artifactSelectors"]
                for place in made[one["producerSubtask"]][one["outputArtifactKey"]]
            ]
            for key, output in selectors.items()
        }

    def _task(
        self, component: str, values: Mapping[str, Any], read: Mapping[str, Found], path: tuple[str, ...]
    ) -> dict[str, Found]:
        definition = self.components[component]
        if "dag" in definition:
            return self.dag(definition["dag"], values, read, path)
        stage = stage_of(component.removeprefix("comp-"))
        if stage == FINISH:
            return {}
        if stage == RERUN:
            return self._again(values["stage"], values["request"], path)
        settings = {**values["settings"], **{key: value for key, value in values.items() if key not in TOLD}}
        config = stage_config(stage, settings)
        models = {key: self.steps[places[0]].model for key, places in read.items() if places}
        needs = sorted({place for places in read.values() for place in places})
        self.steps.append(
            PlannedStep(stage=stage, model=config.works_for(models), part=config.part, needs=tuple(needs), path=path)
        )
        return {STAGES[stage].output: [len(self.steps) - 1]}

    def _again(self, stage: str, request: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Found]:
        asked = Request.model_validate(request)
        config = stage_config(stage, asked.settings)
        self.steps.append(PlannedStep(stage=stage, model=config.works_for({}), part=config.part, needs=(), path=path))
        return {}


def ancestors(steps: Sequence[PlannedStep], places: Iterator[int]) -> set[int]:
    """All steps that the steps at `places` need, directly or not."""
    needed: set[int] = set()
    waiting = list(places)
    while waiting:
        for place in steps[waiting.pop()].needs:
            if place not in needed:
                needed.add(place)
                waiting.append(place)
    return needed


def _in_order(tasks: Mapping[str, Any]) -> Iterator[str]:
    left = dict(tasks)
    while left:
        ready = [name for name, task in left.items() if not set(task.get("dependentTasks", ())) & set(left)]
        yield from ready
        for name in ready:
            del left[name]


def _inputs(task: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Any]]:
    yield from task.get("inputs", {}).get(kind, {}).items()


def _value(given: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    if "componentInputParameter" in given:
        return values.get(given["componentInputParameter"])
    return given.get("runtimeValue", {}).get("constant")


def _artifact(given: Mapping[str, Any], artifacts: Mapping[str, Found], made: Mapping[str, dict[str, Found]]) -> Found:
    if "componentInputArtifact" in given:
        return artifacts[given["componentInputArtifact"]]
    output = given["taskOutputArtifact"]
    return made[output["producerTask"]][output["outputArtifactKey"]]


def _iterations(task: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The inputs of the task at each of its iterations; of one that is no loop its own."""
    iterator = task.get("parameterIterator")
    if iterator is None:
        yield dict(values)
        return
    for item in items_of(iterator, values):
        yield {**values, iterator["itemInput"]: item}


def items_of(iterator: Mapping[str, Any], values: Mapping[str, Any]) -> list[Any]:
    """What a loop goes over, with these inputs of it."""
    items = iterator["items"]
    found: list[Any] = values[items["inputParameter"]] if "inputParameter" in items else json.loads(items["raw"])
    return found
