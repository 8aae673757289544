"""Adversarial samples by source class and target class: what an attack looks like, on one sheet."""

from __future__ import annotations

import torch
from torch import Tensor

from defensive_distillation.codecs import StoredAttack
from defensive_distillation.data import Dataset

MOST_CLASSES = 10


def sample_grid(dataset: Dataset, found: StoredAttack) -> dict[str, Tensor]:
    """For each source class and target class the first pair of the attack; the source itself on the diagonal.

    Returns:
        images: (K, K, C, H, W) uint8, the first ten classes.
        success, present: (K, K) bool; a class without a source has no samples.
    """
    classes = min(MOST_CLASSES, dataset.num_classes)
    images = torch.zeros(classes, classes, *dataset.image_shape, dtype=torch.uint8)
    success = torch.zeros(classes, classes, dtype=torch.bool)
    present = torch.zeros(classes, classes, dtype=torch.bool)
    source_class = dataset.test_labels[found.source_index]
    for i in range(classes):
        of_class = (source_class == i).nonzero()
        if not len(of_class):
            continue
        source = found.source_index[of_class[0, 0]]
        images[i, i], success[i, i], present[i, i] = dataset.test_images[source], True, True
        pairs = (found.source_index == source) & (found.target_class < classes)
        chosen = pairs.nonzero().squeeze(1)
        targets = found.target_class[chosen]
        adversarial = found.adversarial(dataset.test_images, chosen)
        if adversarial.is_floating_point():
            adversarial = (adversarial * 255).round().to(torch.uint8)
        images[i, targets], success[i, targets], present[i, targets] = adversarial, found.success[chosen], True
    return {"images": images, "success": success, "present": present}
