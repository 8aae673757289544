"""A stage as a Kubeflow component: its signature comes from what the stage states of itself (config.StageConfig).

A component takes the stage's inputs, its settings as one JSON value, the temperature where the sweep sets it, and
`step`, what a step is told beside them (runtime.step.Step). Its body is one call of the installed package.
"""

from __future__ import annotations

import functools
import linecache
from collections.abc import Iterator, Mapping
from typing import Any

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output, PipelineTaskFinalStatus

from defensive_distillation.config import STAGES
from defensive_distillation.runtime.kubeflow.finish import NAME as FINISH
from defensive_distillation.runtime.kubeflow.pod import RERUN

_SETTINGS = {"temperature": "float"}  # that may be told apart, and how Kubeflow knows them
_TYPES = {"dataset": "Dataset", "model": "Model"}
_NAMES = {
    "Artifact": Artifact,
    "Dataset": Dataset,
    "Input": Input,
    "List": list,
    "Model": Model,
    "Output": Output,
    "PipelineTaskFinalStatus": PipelineTaskFinalStatus,
}
_FINISH = """def finish(status: PipelineTaskFinalStatus, name: str, step: dict, ending: Output[Artifact]):
    from defensive_distillation.runtime.kubeflow.finish import finish

    finish(vars(status), name, step, ending)
"""
_RERUN = """def rerun(stage: str, request: dict, step: dict, result: Output[Artifact]):
    from defensive_distillation.runtime.kubeflow.again import again

    again(stage, request, result, step)
"""
LOCAL_IMAGE = "python:local"  # the runner in processes needs none, but warns of names without 'python'


def component(stage: str, image: str, given: Mapping[str, tuple[str, ...]], apart: tuple[str, ...] = ()) -> Any:
    """The component of a stage.

    Args:
        stage: its name.
        image: that it runs in.
        given: the inputs that it gets, each with the names under which the pipeline delivers it: more than one where an
            input takes several artifacts; a name that ends in '*' delivers a list.
        apart: settings that are told apart from the others, such as the temperature.
    """
    return _component(stage, source(stage, given, apart), image)


def finishing(image: str) -> Any:
    """The component of the last step of a run on a cluster (runtime.kubeflow.finish)."""
    return _component(FINISH, _FINISH, image)


def repeating(image: str) -> Any:
    """The component that runs one stage of earlier runs again (runtime.kubeflow.again)."""
    return _component(RERUN, _RERUN, image)


@functools.cache
def _component(name: str, text: str, image: str) -> Any:
    filename = f"<component {text}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)  # KFP reads the source
    namespace: dict[str, Any] = dict(_NAMES)
    exec(compile(text, filename, "exec", dont_inherit=True), namespace)  # annotations as objects, which KFP reads
    return dsl.component(namespace[name], base_image=image, install_kfp_package=False)


def source(stage: str, given: Mapping[str, tuple[str, ...]], apart: tuple[str, ...] = ()) -> str:
    """The component's function as Python."""
    config = STAGES[stage]
    parameters, inputs = [], []
    for name, wanted in config.reads.items():
        if name in given:
            parameters += list(_delivered(given[name], _TYPES.get(wanted.kind, "Artifact")))
            inputs.append(f'"{name}": [{", ".join(map(_spread, given[name]))}]' if wanted.many else f'"{name}": {name}')
    parameters.append(f"{config.output}: Output[{_TYPES.get(config.writes, 'Artifact')}]")
    parameters += ["settings: dict", "step: dict"]
    parameters += [f"{name}: {_SETTINGS[name]}" for name in apart]
    told = ", ".join(f'"{name}": {name}' for name in apart)
    settings = f"{{**settings, {told}}}" if apart else "settings"
    return (
        f"def {stage}({', '.join(parameters)}):\n"
        "    from defensive_distillation.runtime.step import run\n\n"
        f'    run("{stage}", {settings}, {{{", ".join(inputs)}}}, {config.output}, step)\n'
    )


def _delivered(groups: tuple[str, ...], kind: str) -> Iterator[str]:
    for group in groups:
        name = group.removesuffix("*")
        yield f"{name}: Input[List[{kind}]]" if group.endswith("*") else f"{name}: Input[{kind}]"


def _spread(group: str) -> str:
    return f"*{group.removesuffix('*')}" if group.endswith("*") else group
