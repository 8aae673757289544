"""scale_logits: the control, the undistilled network with its logits multiplied by T.

No defense, and yet its gradients at T = 1 vanish as those of a network distilled at T do: what it has in common with
that network is the scale of its logits alone. PyTorch, whose import takes longer than all this, is not needed.
"""

from __future__ import annotations

import numpy as np

from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.arrays import read_arrays, write_arrays
from defensive_distillation.config import ScaleLogitsConfig
from defensive_distillation.errors import ArtifactError
from defensive_distillation.runtime.command import main
from defensive_distillation.runtime.stage import Result, Stage, Task
from defensive_distillation.tracking.recording import Recorder


def run(
    config: ScaleLogitsConfig,
    *,
    model: str,
    output: str,
    work: str | None = None,
    code: str = "",
    tracker: Recorder | None = None,
) -> Artifact:
    """Writes `model`, its last layer multiplied by T, to `output`; see `Stage.run`."""
    return STAGE.run(config, {"model": [model]}, output, work=work, code=code, tracker=tracker)


def _compute(task: Task[ScaleLogitsConfig]) -> Result:
    artifact, temperature = task.input("model"), task.config.temperature
    facts = artifact.facts
    if facts["role"] != "teacher" or facts["temperature"] != 1:
        raise ArtifactError(
            f"{artifact.location}: expected an undistilled model trained at T = 1, got a {facts['role']} "
            f"of T = {facts['temperature']:g}"
        )
    layer = facts["output_layer"] + "."
    factor = np.float32(temperature)
    scaled = {
        name: value * factor if name.startswith(layer) else value for name, value in read_arrays(artifact).items()
    }
    control = {**facts, "role": "control", "temperature": temperature}
    return Result(control, lambda folder: write_arrays(folder, scaled))


def _record(task: Task[ScaleLogitsConfig], artifact: Artifact) -> None:
    assert task.tracker is not None
    task.tracker.model_run(task.label).params({"temperature": task.config.temperature, "distilled": False})


STAGE = Stage(ScaleLogitsConfig, _compute, _record)

if __name__ == "__main__":
    main("scale_logits")
