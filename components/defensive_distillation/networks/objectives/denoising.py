"""An auto-encoder that takes noise off images, and a network that it is put before (Gu and Rigazio 2014)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from defensive_distillation.errors import InputError
from defensive_distillation.networks.architectures.denoised import Denoised, reconstruction_error
from defensive_distillation.networks.objectives.objective import PLAIN


class Denoising:
    """Both trainings at once: the auto-encoder's, on noisy images, and the network's, on images as they are.

    They share no weights, so that neither feels the other; the network never sees what the auto-encoder makes of an
    image before both are put together.
    """

    recordable = False  # never tried
    passes = 1

    def __init__(self, *, noise: float, rate: float) -> None:
        """`noise` is the standard deviation, `rate` the factor on the auto-encoder's error, so on its learning rate."""
        self._noise, self._rate = noise, rate

    def __call__(self, model: nn.Module, images: Tensor, targets: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """See `Objective`."""
        if not isinstance(model, Denoised):
            raise InputError(f"model: expected a network behind an auto-encoder, got {type(model).__name__}")
        loss, logits = PLAIN(model.classifier, images, targets, progress)
        noisy = images + self._noise * torch.randn_like(images)
        reconstructed = model.autoencoder(noisy).to(images.dtype)
        return loss + self._rate * reconstruction_error(reconstructed, images), logits
