"""Adversarial training (Madry et al. 2018, https://arxiv.org/abs/1706.06083, Eq. 2.1): the positive control.

A network that learns at the worst points of a ball is hard to fool within it, and not because gradients are masked.
Deviations: the radius grows over three quarters of the training (`networks.objectives.adversarial` says why), and
7 steps of 2.5 ε / 7 are taken instead of 40 of 0.01 on MNIST.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from defensive_distillation.defenses.specification import Defense, DefenseSettings, Fit

if TYPE_CHECKING:
    import torch
    from torch import nn

    from defensive_distillation.datasets.dataset import Dataset

GREY, COLOUR = 0.3, 8 / 255  # the paper's radii for MNIST and CIFAR-10 (Section 5)


class AdversarialTrainingSettings(DefenseSettings):
    """The ball, and how its worst point is looked for."""

    epsilon: float | None = Field(
        None, gt=0, le=1, description="Radius of the L∞ ball. None: 0.3 for grey images, 8/255 for colour images."
    )
    steps: int = Field(7, ge=1, description="Steps of projected gradient ascent.")
    step_size: float | None = Field(None, gt=0, description="Of a step, as a share of the radius. None: 2.5 / steps.")
    random_start: bool = Field(True, description="Whether the ascent starts at a random point of the ball.")
    rate: float = Field(
        0.3, gt=0, description="Factor on the learning rate; at the stage's own a training can collapse."
    )
    warm_up: float = Field(
        0.75, ge=0, le=1, description="Share of the training over which the radius grows from 0; 0 for none."
    )


def train(
    dataset: Dataset, settings: AdversarialTrainingSettings, *, fit: Fit, device: torch.device, seed: int
) -> nn.Module:
    """A network trained on adversarial samples alone, each batch's of the network as it is then."""
    from torch.nn.functional import one_hot

    from defensive_distillation.networks.objectives.adversarial import Adversarial

    objective = Adversarial(
        epsilon=settings.epsilon or (GREY if dataset.image_shape[0] == 1 else COLOUR),
        steps=settings.steps,
        step_size=settings.step_size or 2.5 / settings.steps,
        random_start=settings.random_start,
        warm_up=settings.warm_up,
    )
    return fit(one_hot(dataset.train_labels, dataset.num_classes).float(), objective=objective, rate=settings.rate)


DEFENSE = Defense(
    name="adversarial_training",
    title="adversarial training",
    settings=AdversarialTrainingSettings,
    train=train,
)
