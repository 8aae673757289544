"""Settings of evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from defensive_distillation.config.stages.base import ComputeConfig, Input
from defensive_distillation.config.stages.training import DATASET
from defensive_distillation.model_id import ModelId


class EvaluateConfig(ComputeConfig):
    """Every number of the paper for one model, and the honest ones."""

    stage: ClassVar[str] = "evaluate"
    summary: ClassVar[str] = "Measure accuracy, robustness and gradients of an attacked model."
    reads: ClassVar[Mapping[str, Input]] = {
        "dataset": DATASET,
        "model": Input("model", help="model artifact of a training"),
        "attacks": Input("attack", many=True, help="attack artifacts of that model"),
    }
    writes: ClassVar[str] = "evaluation"
    output: ClassVar[str] = "evaluation"
    example: ClassVar[str] = "--dataset out/digits --model out/student --attacks out/attack --output out/evaluation"

    batch_size: int = Field(500, ge=1, description="Images in a forward pass.")
    gradient_samples: int = Field(
        10_000, ge=1, description="Test images whose gradients are measured (the paper: all 10,000)."
    )

    def works_for(self, inputs: Mapping[str, ModelId | None]) -> ModelId | None:
        """The attacked model: the one that was given, or the control that the attacks made of it."""
        return inputs.get("attacks") or inputs.get("model")
