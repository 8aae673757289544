"""Settings of import_model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import Field, field_validator, model_validator

from defensive_distillation.config.stages.base import ComputeConfig, Input
from defensive_distillation.config.stages.training import DATASET
from defensive_distillation.model_id import ModelId
from defensive_distillation.networks.forms import REGISTERED, in_registry, registry_name


class ImportModelConfig(ComputeConfig):
    """Somebody's own network, and what it was trained with."""

    stage: ClassVar[str] = "import_model"
    summary: ClassVar[str] = "Take a network that was trained elsewhere, and check it on the dataset."
    reads: ClassVar[Mapping[str, Input]] = {"dataset": DATASET}
    writes: ClassVar[str] = "model"
    output: ClassVar[str] = "model"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "numpy")
    example: ClassVar[str] = (
        "--dataset out/photos --model torchvision:resnet18 --weights resnet18.safetensors --mean 0.485,0.456,0.406 "
        "--std 0.229,0.224,0.225 --output out/model"
    )

    model: str = Field(
        "",
        description=(
            "torchvision:NAME, timm:NAME, package.module:factory (a function without arguments that returns the "
            "network, on PYTHONPATH), models:/NAME@ALIAS or models:/NAME/VERSION of MLflow's registry, or FILE.onnx; "
            "none: there is none to import, and a sweep is one."
        ),
    )
    weights: str | None = Field(
        None,
        description=(
            "FILE.safetensors, or with `trust` a pickled checkpoint, at a path or an s3:// URI; none: those that a "
            "factory or an ONNX file brings."
        ),
    )
    trust: bool = Field(
        False,
        description=(
            "Read pickled weights, as tensors alone (weights_only), and graphs that others exported to MLflow."
        ),
    )
    sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description=(
            "Of the file of weights, of the ONNX file, or of what the registry holds (`defdistill audit` looks it up): "
            "another one is refused. None: any will do."
        ),
    )
    code_sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description=(
            "Of the files of the modules that `model` and `input_step` name (`defdistill audit` looks it up): changed "
            "code is refused. None: any will do."
        ),
    )
    input_step: str | None = Field(
        None,
        description=(
            "package.module:function, what the defense does to images (N, C, H, W) in [0, 1] before the network, where "
            "that hides the gradient (rounding, JPEG): naive attackers differentiate it as it is, adaptive ones as the "
            "identity (BPDA)."
        ),
    )
    draws: int = Field(
        1,
        ge=1,
        description=(
            "Of a random network: decisions are by the mean logits of so many draws, and adaptive attackers "
            "differentiate that mean (EOT); naive ones see a single draw."
        ),
    )
    name: str | None = Field(None, min_length=1, description="What the network is called; none: after `model`.")
    image_size: int | None = Field(
        None, ge=1, description="Pixels square that the network takes: images are scaled to it, bilinearly."
    )
    mean: tuple[float, ...] = Field((), description="Subtracted from the images in [0, 1], by channel; none: nothing.")
    std: tuple[float, ...] = Field((), description="That they are divided by then, by channel; none: nothing.")
    class_logits: tuple[int, ...] = Field(
        (), description="Number of the network's logit for each class of the data, in order; none: all as they are."
    )
    batch_size: int = Field(100, ge=1, description="Images in a forward pass.")

    @property
    def label(self) -> str:
        """What the network is called."""
        if self.name:
            return self.name
        return registry_name(self.model).label if in_registry(self.model) else self.model.rpartition("/")[2]

    def works_for(self, inputs: Mapping[str, ModelId | None]) -> ModelId | None:
        """The imported network."""
        return ModelId(role="imported", label=self.label, title=self.label)

    @field_validator("input_step")
    @classmethod
    def _step_is_named(cls, name: str | None) -> str | None:
        if name is not None and not all(name.partition(":")[::2]):
            raise ValueError("expected package.module:function")
        return name

    @field_validator("mean", "std")
    @classmethod
    def _one_or_three(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if len(values) not in (0, 1, 3):
            raise ValueError(f"expected one number, or one for each of three channels, got {len(values)}")
        return values

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if any(value <= 0 for value in self.std):
            raise ValueError(f"std: expected numbers above 0, got {min(self.std):g}")
        if len(set(self.class_logits)) != len(self.class_logits) or any(number < 0 for number in self.class_logits):
            raise ValueError("class_logits: expected different numbers from 0")
        if self.model.startswith(REGISTERED) and not self.weights:
            raise ValueError(f"weights: expected a file with those of {self.model}, got none")
        if in_registry(self.model):
            registry_name(self.model)
            if self.weights:
                raise ValueError(f"weights: expected none, those of {self.model} are in it, got {self.weights}")
        return self
