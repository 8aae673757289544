"""What an objective is, and the one of every training without a defense."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from defensive_distillation.networks.softmax import soft_cross_entropy


class Objective(Protocol):
    """What a step of a training minimises.

    What is random in it comes from PyTorch's own generators, which a training seeds anew for each epoch.

    Attributes:
        recordable: whether a GPU may record it as a CUDA graph: it asks the host for nothing, calls the model once and
            does not depend on the progress.
        passes: of a batch through the network, forward and backward, in a step: what it costs.
    """

    recordable: bool
    passes: int

    def __call__(self, model: nn.Module, images: Tensor, targets: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """The loss, a mean over the batch, and the logits (B, K).

        Args:
            model: in training mode, in which it is left.
            images: (B, C, H, W) in [0, 1].
            targets: (B, K), rows sum to 1.
            progress: share of the whole training that is done, in [0, 1).
        """


class CrossEntropy:
    """That of the softmax at T with the targets (Papernot et al. 2016, Eq. 9)."""

    recordable = True
    passes = 1

    def __init__(self, temperature: float) -> None:
        self._temperature = temperature

    def __call__(self, model: nn.Module, images: Tensor, targets: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """See `Objective`."""
        logits = model(images).to(targets.dtype)
        return soft_cross_entropy(logits, targets, self._temperature), logits


PLAIN = CrossEntropy(1.0)
"""At T = 1."""
