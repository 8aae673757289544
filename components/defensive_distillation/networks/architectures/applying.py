"""What a network says of images, and how often it is right."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def predict(model: Callable[[Tensor], Tensor], images: Tensor, *, batch_size: int, device: torch.device) -> Tensor:
    """Logits (N, K) on the CPU of `images` (N, C, H, W), uint8 or float in [0, 1], batch by batch."""
    with torch.no_grad():
        return torch.cat([model(as_input(batch.to(device))).cpu() for batch in images.split(batch_size)])


def as_input(images: Tensor) -> Tensor:
    """Images as a network takes them: float32 in [0, 1]; uint8 is divided by 255."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of samples whose largest logit is the label's; logits (N, K), labels (N,)."""
    return float((logits.argmax(1) == labels).double().mean())
