"""scale_logits: the control, the undistilled network with its logits multiplied by T.

No defense, and yet its gradients at T = 1 vanish as those of a network distilled at T do: what it has in common with
that network is the scale of its logits alone. PyTorch, whose import takes longer than all this, is not needed.
"""

from __future__ import annotations

import numpy as np

from defensive_distillation.artifacts.arrays import read_arrays, write_arrays
from defensive_distillation.config import ScaleLogitsConfig
from defensive_distillation.defenses import distillation
from defensive_distillation.errors import ArtifactError
from defensive_distillation.model_id import BASELINE, ModelId
from defensive_distillation.runtime.command import main
from defensive_distillation.runtime.stage import Result, Stage, Task


def _compute(task: Task[ScaleLogitsConfig]) -> Result:
    artifact, temperature = task.input("model"), task.config.temperature
    model = ModelId.of(artifact.facts)
    if model != BASELINE:
        raise ArtifactError(f"{artifact.location}: expected an undistilled model trained at T = 1, got {model}")
    layer = artifact.facts["output_layer"] + "."
    factor = np.float32(temperature)
    scaled = {
        name: value * factor if name.startswith(layer) else value for name, value in read_arrays(artifact).items()
    }
    facts = {**artifact.facts, "model": distillation.control(temperature).model_dump(mode="json")}
    return Result(facts, lambda folder: write_arrays(folder, scaled))


STAGE = Stage(ScaleLogitsConfig, _compute)
run = STAGE.run

if __name__ == "__main__":
    main("scale_logits")
