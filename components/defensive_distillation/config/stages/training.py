"""Settings of the trainings."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from defensive_distillation.config.stages.base import MOST_THREADS, ComputeConfig, Input, Temperature
from defensive_distillation.defenses import distillation
from defensive_distillation.defenses.registry import DEFENSES, all_parameters
from defensive_distillation.model_id import ModelId
from defensive_distillation.networks.forms import check_architecture

DATASET = Input("dataset", help="dataset artifact of prepare_data")


class TrainConfig(ComputeConfig):
    """How a network is trained; the defaults are the paper's for MNIST (Tables I and II)."""

    architecture: str = Field(
        "papernot_mnist",
        min_length=1,
        description=(
            "papernot_mnist, papernot_cifar10, or torchvision:NAME for any torchvision classifier; also rbf:UNITS, "
            "radial basis functions, and denoised:ARCHITECTURE, one of these behind an auto-encoder."
        ),
    )
    epochs: int = Field(50, ge=1, description="Passes over the training images.")
    batch_size: int = Field(128, ge=1, description="Images in a step of the optimiser.")
    learning_rate: float = Field(0.1, gt=0, le=1e6, description="Step size of stochastic gradient descent.")
    momentum: float = Field(0.5, ge=0, lt=1, description="Momentum of stochastic gradient descent.")
    decay: float = Field(
        1.0, gt=0, le=1, description="Factor on learning rate and momentum after each `decay_epochs` epochs."
    )
    decay_epochs: int = Field(10, ge=1, description="Epochs between two decays.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Dropout rate after the fully connected layers.")
    output_gain_exponent: float = Field(
        0.75,
        ge=0,
        le=1,
        description="The initial weights of the last layer are multiplied by T to this power; 0 leaves them.",
    )
    mixed_precision: bool = Field(
        False, description="Passes in bfloat16, weights and loss in float32: faster where the hardware has it."
    )
    minimum_progress: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Fail a training that covers less of the way from chance to accuracy 1 than this; 0 lets all pass.",
    )

    @field_validator("architecture")
    @classmethod
    def _has_a_form(cls, architecture: str) -> str:
        check_architecture(architecture)
        return architecture

    @property
    def fit_settings(self) -> dict[str, Any]:
        """The arguments of `networks.fit.fit` that a stage passes on as they are."""
        names = set(TrainConfig.model_fields) - set(ComputeConfig.model_fields)
        return self.model_dump(include=names)


class TrainTeacherConfig(TrainConfig):
    """Training on hard labels: the teacher at T, and at T = 1 the baseline without distillation."""

    stage: ClassVar[str] = "train_teacher"
    summary: ClassVar[str] = "Train a network on the dataset's labels, softmax at T."
    reads: ClassVar[Mapping[str, Input]] = {"dataset": DATASET}
    writes: ClassVar[str] = "model"
    output: ClassVar[str] = "model"
    example: ClassVar[str] = "--dataset out/digits --temperature 20 --epochs 30 --output out/teacher"

    temperature: Temperature = 1.0
    baseline_threads: int | None = Field(
        None,
        ge=1,
        le=MOST_THREADS,
        description="CPU threads at T = 1: a sweep on one machine trains nothing beside the baseline. None: `threads`.",
    )

    def works_for(self, inputs: Mapping[str, ModelId | None]) -> ModelId | None:
        """The teacher, or the baseline."""
        return distillation.teacher(self.temperature)


class TrainStudentConfig(TrainConfig):
    """Training on soft labels: the paper's distilled network."""

    stage: ClassVar[str] = "train_student"
    summary: ClassVar[str] = "Train the distilled network on soft labels, softmax at T."
    reads: ClassVar[Mapping[str, Input]] = {
        "dataset": DATASET,
        "soft_labels": Input("soft_labels", help="soft-label artifact of generate_soft_labels"),
    }
    writes: ClassVar[str] = "model"
    output: ClassVar[str] = "model"
    example: ClassVar[str] = (
        "--dataset out/digits --soft-labels out/soft-labels --temperature 20 --epochs 30 --output out/student"
    )

    temperature: Temperature = 1.0

    def works_for(self, inputs: Mapping[str, ModelId | None]) -> ModelId | None:
        """The student."""
        return distillation.student(self.temperature)


class TrainDefendedConfig(TrainConfig):
    """Training under a defense that has no stages of its own."""

    stage: ClassVar[str] = "train_defended"
    summary: ClassVar[str] = "Train a network under a defense."
    reads: ClassVar[Mapping[str, Input]] = {"dataset": DATASET}
    writes: ClassVar[str] = "model"
    output: ClassVar[str] = "model"
    example: ClassVar[str] = (
        "--dataset out/digits --defense distillation --parameters temperature=20 --epochs 30 --output out/defended"
    )

    defense: str = Field("distillation", description=f"One of {', '.join(DEFENSES)}.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="Parameters of the defense, by name.")

    @model_validator(mode="after")
    def _parameters_fit(self) -> Self:
        if self.defense not in DEFENSES:
            near = difflib.get_close_matches(self.defense, DEFENSES, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"defense: expected one of {', '.join(DEFENSES)}, got {self.defense!r}{meant}")
        object.__setattr__(self, "parameters", all_parameters(self.defense, self.parameters))
        return self

    def works_for(self, inputs: Mapping[str, ModelId | None]) -> ModelId | None:
        """The defended network."""
        return DEFENSES[self.defense].model_id("defended", self.parameters)
