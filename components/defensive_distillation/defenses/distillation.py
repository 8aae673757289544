"""Defensive distillation (Papernot et al. 2016): a student learns a teacher's probabilities at temperature T."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from defensive_distillation.defenses.specification import Defense, DefenseSettings, Fit
from defensive_distillation.model_id import BASELINE, ModelId

if TYPE_CHECKING:
    import torch
    from torch import nn

    from defensive_distillation.datasets.dataset import Dataset

BATCH = 500  # images in a forward pass


class DistillationSettings(DefenseSettings):
    """The parameter of the paper."""

    temperature: float = Field(20.0, gt=0, description="Temperature T of the softmax in both trainings, above 0.")


def _label(parameters: Mapping[str, Any]) -> str:
    return f"T={parameters['temperature']:g}"


def _title(parameters: Mapping[str, Any]) -> str:
    return f"T = {parameters['temperature']:g}"


def train(dataset: Dataset, settings: DistillationSettings, *, fit: Fit, device: torch.device, seed: int) -> nn.Module:
    """Teacher, soft labels and student in one call; the pipeline has a stage for each of them."""
    import torch
    from torch.nn.functional import one_hot

    from defensive_distillation.networks.architectures import as_input
    from defensive_distillation.networks.softmax import soft_labels

    temperature = settings.temperature
    hard = one_hot(dataset.train_labels, dataset.num_classes).float()
    model = fit(hard, name="teacher", temperature=temperature)
    batches = dataset.train_images.split(BATCH)
    labels = torch.cat([soft_labels(model, as_input(batch.to(device)), temperature).cpu() for batch in batches])
    return fit(labels, name="student", temperature=temperature)


DEFENSE = Defense(
    name="distillation",
    title="defensive distillation",
    settings=DistillationSettings,
    train=train,
    label=_label,
    reads_as=_title,
)


def teacher(temperature: float) -> ModelId:
    """Trained on hard labels at T; at T = 1 it is the baseline, for nothing is distilled into it."""
    return BASELINE if temperature == 1 else DEFENSE.model_id("teacher", {"temperature": temperature})


def student(temperature: float) -> ModelId:
    """The distilled network."""
    return DEFENSE.model_id("defended", {"temperature": temperature})


def control(temperature: float) -> ModelId:
    """The baseline with its logits multiplied by T: what it shares with the student is the size of the logits alone."""
    return DEFENSE.model_id("control", {"temperature": temperature})
