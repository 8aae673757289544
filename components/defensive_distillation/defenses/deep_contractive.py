"""The deep contractive network (Gu and Rigazio 2014, https://arxiv.org/abs/1412.5068).

Deviations: units are rectified, not sigmoids; the weight λ is the same for all layers. What the paper takes in place of
the derivative of the output by the input, the Jacobian of each layer by itself, is taken here, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from defensive_distillation.defenses.specification import Defense, DefenseSettings, Fit

if TYPE_CHECKING:
    import torch
    from torch import nn

    from defensive_distillation.datasets.dataset import Dataset


class DeepContractiveSettings(DefenseSettings):
    """How flat the layers are to be."""

    weight: float = Field(1e-3, gt=0, description="Weight λ of the norm of each layer's Jacobian in the loss.")


def train(
    dataset: Dataset, settings: DeepContractiveSettings, *, fit: Fit, device: torch.device, seed: int
) -> nn.Module:
    """A network trained end to end on labels, with a price on the slope of each layer."""
    from torch.nn.functional import one_hot

    from defensive_distillation.networks.objectives.contractive import Contractive

    targets = one_hot(dataset.train_labels, dataset.num_classes).float()
    return fit(targets, objective=Contractive(weight=settings.weight))


DEFENSE = Defense(
    name="deep_contractive",
    title="deep contractive network",
    settings=DeepContractiveSettings,
    train=train,
)
