"""What a defense states of itself once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict

from defensive_distillation.model_id import BASELINE, ModelId, Role

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from defensive_distillation.datasets.dataset import Dataset


class DefenseSettings(BaseModel):
    """Base of a defense's settings: its parameters, which tell its networks apart."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Fit(Protocol):
    """Trains the network that the stage's settings describe; a training that was killed goes on from its last epoch."""

    def __call__(self, targets: Tensor, *, name: str = "", temperature: float = 1.0) -> nn.Module:
        """The network, on the device and in evaluation mode, after training on `targets`.

        Args:
            targets: (N, K) for the training images, rows sum to 1.
            name: tells apart several trainings of one defense.
            temperature: T of the softmax in the loss.
        """


class Train(Protocol):
    """What a defense does to a dataset to get a network."""

    def __call__(self, dataset: Dataset, settings: Any, *, fit: Fit, device: torch.device, seed: int) -> nn.Module:
        """The defended network, which takes images in [0, 1] and returns logits.

        Args:
            dataset: training and test images.
            settings: the defense's own.
            fit: trains a network on targets.
            device: where to compute.
            seed: of whatever is random in the defense itself.
        """


@dataclass(frozen=True, kw_only=True)
class Defense:
    """A defense.

    Attributes:
        name: in settings, such as 'distillation'.
        title: for a reader.
        settings: its parameters; equal ones make equal networks.
        train: makes the network; it imports PyTorch when it is called.
        label: of a network with these parameters, in commands and names, such as 'T=20'.
        reads_as: the same for a reader, such as 'T = 20'.
    """

    name: str
    title: str
    settings: type[DefenseSettings]
    train: Train
    label: Callable[[Mapping[str, Any]], str]
    reads_as: Callable[[Mapping[str, Any]], str]

    def model_id(self, role: Role, parameters: Mapping[str, Any]) -> ModelId:
        """The identity of a network that this defense was applied to, of its teacher, or of its control."""
        if role == "baseline":
            return BASELINE
        label, title = self.label(parameters), self.reads_as(parameters)
        if role == "control":
            label, title = f"control {label}", f"control, {title}"
        return ModelId(role=role, defense=self.name, parameters=dict(parameters), label=label, title=title)
