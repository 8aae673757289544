"""A denoising auto-encoder before the network (Gu and Rigazio 2014, https://arxiv.org/abs/1412.5068).

The attacker of this pipeline knows the auto-encoder and goes through it, as the paper's attacks on the stacked network
do. Deviations: it learns from Gaussian noise alone, not from adversarial samples; its units are rectified.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from defensive_distillation.defenses.specification import Defense, DefenseSettings, Fit

if TYPE_CHECKING:
    import torch
    from torch import nn

    from defensive_distillation.datasets.dataset import Dataset


class DenoisingAutoencoderSettings(DefenseSettings):
    """What noise the auto-encoder learns to take off, and how fast."""

    noise: float = Field(0.1, gt=0, description="Standard deviation of the noise, of pixels in [0, 1].")
    rate: float = Field(
        0.1, gt=0, description="Learning rate of the auto-encoder, as a multiple of the network's, for ‖r - x‖²."
    )


def train(
    dataset: Dataset, settings: DenoisingAutoencoderSettings, *, fit: Fit, device: torch.device, seed: int
) -> nn.Module:
    """An undefended network and an auto-encoder, trained apart, one behind the other."""
    from torch.nn.functional import one_hot

    from defensive_distillation.networks.objectives.denoising import Denoising

    targets = one_hot(dataset.train_labels, dataset.num_classes).float()
    return fit(targets, architecture="denoised:{}", objective=Denoising(noise=settings.noise, rate=settings.rate))


DEFENSE = Defense(
    name="denoising_autoencoder",
    title="denoising auto-encoder",
    settings=DenoisingAutoencoderSettings,
    train=train,
)
