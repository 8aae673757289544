"""Settings of scale_logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from defensive_distillation.config.stages.base import Input, StageConfig, Temperature
from defensive_distillation.defenses import distillation
from defensive_distillation.model_id import ModelId


class ScaleLogitsConfig(StageConfig):
    """The control: an undistilled network whose logits are as large as a distilled one's."""

    stage: ClassVar[str] = "scale_logits"
    summary: ClassVar[str] = "Multiply the logits of the undistilled network by T: the control."
    reads: ClassVar[Mapping[str, Input]] = {"model": Input("model", help="model artifact of the baseline")}
    writes: ClassVar[str] = "model"
    output: ClassVar[str] = "control"
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)
    example: ClassVar[str] = "--model out/baseline --temperature 20 --output out/control"

    temperature: Temperature = 1.0

    def works_for(self, inputs: Mapping[str, ModelId | None]) -> ModelId | None:
        """The control."""
        return distillation.control(self.temperature)
