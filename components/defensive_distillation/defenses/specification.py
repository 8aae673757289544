"""What a defense states of itself once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from defensive_distillation.model_id import BASELINE, ModelId, Role
from defensive_distillation.settings import Settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from defensive_distillation.datasets.dataset import Dataset
    from defensive_distillation.networks.objectives.objective import Objective


class DefenseSettings(Settings):
    """Base of a defense's settings: its parameters, which tell its networks apart."""


class Fit(Protocol):
    """Trains the network that the stage's settings describe; a training that was killed goes on from its last epoch."""

    def __call__(
        self,
        targets: Tensor,
        *,
        name: str = "",
        temperature: float = 1.0,
        architecture: str = "{}",
        objective: Objective | None = None,
        rate: float = 1.0,
        start: Callable[[nn.Module], None] | None = None,
    ) -> nn.Module:
        """The network, on the device and in evaluation mode, after training on `targets`.

        Args:
            targets: (N, K) for the training images, rows sum to 1.
            name: tells apart several trainings of one defense.
            temperature: T of the softmax in the loss.
            architecture: see `networks.architectures.build`; {} stands for that of the stage's settings.
            objective: what each step minimises in place of the cross-entropy with `targets`.
            rate: factor on the learning rate of the stage's settings.
            start: changes the first weights.
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
        label: of a network with these parameters, in commands and names, such as 'T=20'; None is the name and the
            parameters that are not the defaults, such as 'label_smoothing share=0.2'.
        reads_as: the same for a reader, such as 'T = 20'; None is the title and these, 'label smoothing, share 0.2'.
    """

    name: str
    title: str
    settings: type[DefenseSettings]
    train: Train
    label: Callable[[Mapping[str, Any]], str] | None = None
    reads_as: Callable[[Mapping[str, Any]], str] | None = None

    def model_id(self, role: Role, parameters: Mapping[str, Any]) -> ModelId:
        """The identity of a network that this defense was applied to, of its teacher, or of its control."""
        if role == "baseline":
            return BASELINE
        changed = self._changed(parameters)
        label = self.label(parameters) if self.label else " ".join([self.name, *map("=".join, changed)])
        title = self.reads_as(parameters) if self.reads_as else ", ".join([self.title, *map(_in_words, changed)])
        if role == "control":
            label, title = f"control {label}", f"control, {title}"
        return ModelId(role=role, defense=self.name, parameters=dict(parameters), label=label, title=title)

    def _changed(self, parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
        """The parameters that are not the defaults, and their values, as texts."""
        defaults = {name: field.get_default() for name, field in self.settings.model_fields.items()}
        return [(name, _text(value)) for name, value in parameters.items() if value != defaults[name]]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _in_words(changed: tuple[str, str]) -> str:
    name, value = changed
    return f"{name.replace('_', ' ')} {value}"
