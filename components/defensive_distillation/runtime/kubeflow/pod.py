"""A step in its pod, which Kubeflow's launcher starts with its description of the step, one JSON value.

From a file the launcher reads what became of the artifact. It is what KFP's own executor does for a function that it
carries along as text, without that text, which a workflow would hold six times for every step.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from defensive_distillation.config import STAGES
from defensive_distillation.errors import ConfigurationError
from defensive_distillation.runtime import unfinished
from defensive_distillation.runtime.failure import in_one_line
from defensive_distillation.runtime.kubeflow import finish
from defensive_distillation.runtime.kubeflow.again import again
from defensive_distillation.runtime.kubeflow.artifact import Given
from defensive_distillation.runtime.step import run

RERUN = "rerun"
TOLD_NOTHING = {"work": unfinished.AUTOMATIC}  # what a step is told beside its settings, where nothing is said of it
TOLD = ("settings", "step")  # parameters of a step; all others are settings that are told apart
_LOGS = "executor-logs"  # an artifact of the launcher's own
MOUNTED = Path("/etc/defensive-distillation")  # a config map and a secret, one file a variable


def main(argv: Sequence[str]) -> None:
    """Runs the step; a failure is one line, and the exit code of the error."""
    stage, text = argv
    add_variables(MOUNTED)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a thread that waits leaves the processor to other pods
    told = json.loads(text)
    inputs, outputs = told.get("inputs", {}), told["outputs"]
    ((name, output),) = _artifacts({key: one for key, one in outputs["artifacts"].items() if key != _LOGS}).items()
    with in_one_line(stage):
        parameters = {"step": TOLD_NOTHING, **inputs.get("parameterValues", {})}
        _start(stage, parameters, _artifacts(inputs.get("artifacts", {})), output[0])
    place = Path(outputs["outputFile"])
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps({"artifacts": {name: {"artifacts": [vars(output[0])]}}}))


def _start(stage: str, parameters: Mapping[str, Any], read: Mapping[str, Sequence[Given]], output: Given) -> None:
    if stage == finish.NAME:
        finish.finish(parameters["status"], parameters["name"], parameters["step"], output)
    elif stage == RERUN:
        again(parameters["stage"], parameters["request"], output, parameters["step"])
    else:
        apart = {name: value for name, value in parameters.items() if name not in TOLD}
        settings = {**parameters["settings"], **apart}
        run(stage, settings, by_stage(stage, read), output, parameters["step"])


def add_variables(folder: Path) -> None:
    """Adds to the environment what is mounted below a folder, in files called by the variable.

    What the environment has already stays, for Kubeflow's own integrations set variables of the same names.
    """
    for path in sorted(folder.glob("*/[A-Z]*")):
        os.environ.setdefault(path.name, path.read_text().strip())


def by_stage(stage: str, read: Mapping[str, Sequence[Given]]) -> dict[str, Given | list[Given]]:
    """A step's input artifacts by the names that its stage has for them.

    What comes under other names is all for the one input that takes several.
    """
    inputs: dict[str, Given | list[Given]] = {}
    for name, given in read.items():
        wanted = STAGES[stage].reads.get(name)
        if wanted is not None and not wanted.many:
            inputs[name] = given[0]
        else:
            several = inputs.setdefault(_taking_several(stage, name), [])
            assert isinstance(several, list)
            several.extend(given)
    return inputs


def _taking_several(stage: str, name: str) -> str:
    reads = STAGES[stage].reads
    many = [key for key, wanted in reads.items() if wanted.many]
    if name in many:
        return name
    if not many:
        raise ConfigurationError(f"{stage}: expected {', '.join(reads) or 'no input'}, got {name!r}")
    return many[0]


def _artifacts(told: Mapping[str, Any]) -> dict[str, list[Given]]:
    return {
        name: [Given(one.get("name", ""), one["uri"], dict(one.get("metadata", {}))) for one in entry["artifacts"]]
        for name, entry in told.items()
    }
