"""Adversarial samples by source class and target class: what an attack looks like, on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.evaluation.outcome import Outcome, common_sources
from defensive_distillation.evaluation.stored_attack import StoredAttack

MOST_CLASSES = 10
MOST_EXAMPLES = 6


def sample_grid(dataset: Dataset, stored: StoredAttack) -> dict[str, Tensor]:
    """For each source class and target class the first pair of the attack; the source itself on the diagonal.

    Returns:
        images: (K, K, C, H, W) uint8, the first ten classes.
        success, present: (K, K) bool; a class without a source has no samples.
    """
    classes = min(MOST_CLASSES, dataset.num_classes)
    images = torch.zeros(classes, classes, *dataset.image_shape, dtype=torch.uint8)
    success = torch.zeros(classes, classes, dtype=torch.bool)
    present = torch.zeros(classes, classes, dtype=torch.bool)
    source_class = dataset.test_labels[stored.source_index]
    for i in range(classes):
        of_class = (source_class == i).nonzero()
        if not len(of_class):
            continue
        source = stored.source_index[of_class[0, 0]]
        images[i, i], success[i, i], present[i, i] = dataset.test_images[source], True, True
        of_target = ((source_class == i) & (stored.target_class == target) for target in range(classes))
        firsts = [pairs.nonzero()[0] for pairs in of_target if bool(pairs.any())]
        if not firsts:
            continue
        chosen = torch.cat(firsts)
        targets = stored.target_class[chosen]
        adversarial = stored.adversarial(dataset.test_images, chosen)
        images[i, targets], success[i, targets], present[i, targets] = _bytes(adversarial), stored.success[chosen], True
    return {"images": images, "success": success, "present": present}


def examples(dataset: Dataset, outcomes: Sequence[Outcome]) -> tuple[dict[str, Tensor], dict[str, list[str]]]:
    """What each attack makes of the same sources; of a targeted one the target class that is nearest.

    Returns:
        Tensors originals (S, C, H, W) and images (A, S, C, H, W), uint8, and success (A, S) bool; and the names of the
        attacks ('attacks') and of the sources' classes ('labels'). Both empty without a source of all attacks.
    """
    sources = common_sources(outcomes)
    # one of each class first, as far as there are places
    order = sorted(sources.tolist(), key=lambda index: _repeats(index, sources, dataset))[:MOST_EXAMPLES]
    if not order:
        return {}, {}
    chosen = torch.tensor(sorted(order, key=lambda index: (int(dataset.test_labels[index]), index)))
    images, success = [], []
    for outcome in outcomes:
        pairs = torch.stack([_nearest_pair(outcome, int(source)) for source in chosen])
        images.append(_bytes(outcome.samples.adversarial(dataset.test_images, pairs)))
        success.append(outcome.samples.success[pairs])
    tensors = {
        "originals": dataset.test_images[chosen],
        "images": torch.stack(images),
        "success": torch.stack(success),
    }
    labels = [dataset.classes[label] for label in dataset.test_labels[chosen].tolist()]
    return tensors, {"attacks": [outcome.name for outcome in outcomes], "labels": labels}


def _repeats(index: int, sources: Tensor, dataset: Dataset) -> int:
    """How many earlier sources have the class of this one."""
    labels = dataset.test_labels[sources]
    return int(((labels == dataset.test_labels[index]) & (sources < index)).sum())


def _nearest_pair(outcome: Outcome, source: int) -> Tensor:
    """The place of the nearest success on `source`, or of its first pair."""
    places = (outcome.samples.source_index == source).nonzero().squeeze(1)
    return places[outcome.distance[places].argmin()]


def _bytes(images: Tensor) -> Tensor:
    return (images * 255).round().to(torch.uint8) if images.is_floating_point() else images
