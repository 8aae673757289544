"""Which adversarial samples are adversarial still when they are saved as images of 8 bits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from defensive_distillation.attacks.network import logits_of, reached
from defensive_distillation.datasets.dataset import to_unit_interval
from defensive_distillation.evaluation.outcome import Outcome


@torch.no_grad()
def share_in_eight_bits(
    model: nn.Module, outcome: Outcome, test_images: Tensor, *, batch_size: int, device: torch.device
) -> float | None:
    """The share of an attack's successes that succeed still once each value is rounded to one of 256.

    Of an attack within balls, or with several confidences, of the nearest success on each image, which is kept.

    Args:
        model: by whose decisions it succeeds, on `device`.
        outcome: of the attack.
        test_images: (N, C, H, W).
        batch_size: samples in a forward pass.
        device: where to compute.

    Returns:
        In [0, 1]; None without a success, or where the inputs themselves are no images of 8 bits.
    """
    samples = outcome.samples
    successes = samples.success.nonzero().squeeze(1)
    if not len(successes) or test_images.dtype != torch.uint8:
        return None
    if samples.value.dtype == torch.uint8:
        return 1.0
    held = 0
    for pairs in successes.split(batch_size):
        saved = (samples.adversarial(test_images, pairs) * 255).round().to(torch.uint8)
        classes = samples.target_class[pairs].to(device)
        logits = logits_of(model, to_unit_interval(saved.to(device)))
        held += int(reached(logits, classes, targeted=bool(outcome.facts["targeted"])).sum())
    return held / len(successes)
