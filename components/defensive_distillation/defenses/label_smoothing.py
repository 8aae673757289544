"""Label smoothing (Warde-Farley and Goodfellow 2016): distillation's cheap relative, soft labels without a teacher.

The formula is that of Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, Section 7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from defensive_distillation.defenses.specification import Defense, DefenseSettings, Fit

if TYPE_CHECKING:
    import torch
    from torch import nn

    from defensive_distillation.datasets.dataset import Dataset


class LabelSmoothingSettings(DefenseSettings):
    """How much of each label is spread over all classes."""

    share: float = Field(0.1, gt=0, lt=1, description="Share of the label, between 0 and 1.")


def train(
    dataset: Dataset, settings: LabelSmoothingSettings, *, fit: Fit, device: torch.device, seed: int
) -> nn.Module:
    """A network trained on labels of which a share is uniform."""
    from defensive_distillation.networks.softmax import smoothed

    return fit(smoothed(dataset.train_labels, dataset.num_classes, settings.share))


DEFENSE = Defense(
    name="label_smoothing",
    title="label smoothing",
    settings=LabelSmoothingSettings,
    train=train,
)
