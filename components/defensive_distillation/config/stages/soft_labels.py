"""Settings of generate_soft_labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from defensive_distillation.config.stages.base import ComputeConfig, Input, Temperature
from defensive_distillation.config.stages.training import DATASET
from defensive_distillation.defenses import distillation
from defensive_distillation.model_id import ModelId


class GenerateSoftLabelsConfig(ComputeConfig):
    """Labelling the training images again with the teacher's probabilities."""

    stage: ClassVar[str] = "generate_soft_labels"
    summary: ClassVar[str] = "Label the training images with the teacher's probabilities at T."
    reads: ClassVar[Mapping[str, Input]] = {
        "dataset": DATASET,
        "teacher": Input("model", help="model artifact of train_teacher"),
    }
    writes: ClassVar[str] = "soft_labels"
    output: ClassVar[str] = "soft_labels"
    example: ClassVar[str] = "--dataset out/digits --teacher out/teacher --temperature 20 --output out/soft-labels"

    temperature: Temperature = 1.0
    batch_size: int = Field(500, ge=1, description="Images in a forward pass.")

    def works_for(self, inputs: Mapping[str, ModelId | None]) -> ModelId | None:
        """The student that will learn them."""
        return distillation.student(self.temperature)
