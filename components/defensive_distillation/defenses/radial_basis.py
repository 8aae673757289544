"""A network of radial basis functions (Goodfellow et al. 2015, https://arxiv.org/abs/1412.6572, Section 7).

Deviations: several units a class, with diagonal precisions, and a softmax over a linear layer of them, where the paper
has one unit a class and reads its value as a probability; centres begin on training images. Far from every centre all
units are zero, and with them all gradients: the sanity conditions are to say so.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from pydantic import Field

from defensive_distillation.defenses.specification import Defense, DefenseSettings, Fit

if TYPE_CHECKING:
    import torch
    from torch import nn

    from defensive_distillation.datasets.dataset import Dataset


class RadialBasisSettings(DefenseSettings):
    """The units, and how they begin."""

    units: int = Field(300, ge=2, description="Units, at least one a class.")
    width: float = Field(6.0, gt=0, description="Mean exponent between a centre and an image at the beginning.")
    gain: float = Field(10.0, gt=0, description="Weight between a unit and its own class at the beginning.")


def train(dataset: Dataset, settings: RadialBasisSettings, *, fit: Fit, device: torch.device, seed: int) -> nn.Module:
    """Such a network in place of the one that the stage's settings name."""
    from torch.nn.functional import one_hot

    from defensive_distillation.networks.architectures import as_input
    from defensive_distillation.networks.architectures.radial_basis import place

    labels = dataset.train_labels
    at_images = functools.partial(
        place, images=as_input(dataset.train_images), labels=labels, width=settings.width, gain=settings.gain
    )
    targets = one_hot(labels, dataset.num_classes).float()
    return fit(targets, architecture=f"rbf:{settings.units}", start=at_images)


DEFENSE = Defense(
    name="radial_basis",
    title="radial basis functions",
    settings=RadialBasisSettings,
    train=train,
)
