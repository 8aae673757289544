"""A stage as a Kubeflow component: its signature comes from what the stage states of itself (config.StageConfig).

A component takes the stage's inputs, its settings as one JSON value, the temperature where the sweep sets it, and
`step`, what a step is told beside them (runtime.step.Step). Its body is one call of the installed package.
"""

from __future__ import annotations

import functools
import linecache
import os
from collections.abc import Iterator
from typing import Any

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from defensive_distillation import __version__
from defensive_distillation.config import STAGES

IMAGE_VARIABLE = "DEFDISTILL_IMAGE"
_TYPES = {"dataset": "Dataset", "model": "Model"}
_NAMES = {"Artifact": Artifact, "Dataset": Dataset, "Input": Input, "List": list, "Model": Model, "Output": Output}


def image() -> str:
    """The image of every step; the variable decides when a pipeline is compiled."""
    return os.environ.get(IMAGE_VARIABLE, f"defensive-distillation:{__version__}")


def component(stage: str, **delivered: tuple[str, ...]) -> Any:
    """The component of a stage.

    Args:
        stage: its name.
        delivered: for an input that takes several artifacts, the names under which the pipeline delivers them; a name
            that ends in '*' delivers a list, any other one artifact. Without it the input is one list, and one that
            is optional is left out.
    """
    return _component(stage, tuple(sorted(delivered.items())), image())


@functools.cache
def _component(stage: str, delivered: tuple[tuple[str, tuple[str, ...]], ...], base_image: str) -> Any:
    text = source(stage, dict(delivered))
    filename = f"<component {stage} {delivered}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)  # KFP reads the source
    namespace: dict[str, Any] = dict(_NAMES)
    exec(compile(text, filename, "exec", dont_inherit=True), namespace)  # annotations as objects, which KFP reads
    return dsl.component(namespace[stage], base_image=base_image, install_kfp_package=False)


def source(stage: str, delivered: dict[str, tuple[str, ...]]) -> str:
    """The component's function as Python."""
    config = STAGES[stage]
    parameters, inputs = [], []
    for name, wanted in config.reads.items():
        kind = _TYPES.get(wanted.kind, "Artifact")
        if not wanted.many:
            parameters.append(f"{name}: Input[{kind}]")
            inputs.append(f'"{name}": {name}')
            continue
        groups = delivered.get(name, () if wanted.optional else (f"{name}*",))
        parameters += list(_delivered(groups, kind))
        inputs.append(f'"{name}": [{", ".join(_spread(group) for group in groups)}]')
    parameters.append(f"{config.output}: Output[{_TYPES.get(config.writes, 'Artifact')}]")
    parameters += ["settings: dict", "step: dict"]
    settings = "settings"
    if "temperature" in config.model_fields:
        parameters.append("temperature: float")
        settings = '{**settings, "temperature": temperature}'
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
