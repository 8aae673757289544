"""Settings of the attacks that fit the data, for networks that no preset knows: radii, budgets, numbers of sources."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from defensive_distillation.errors import InputError
from defensive_distillation.suite.registry import ATTACKS
from defensive_distillation.suite.specification import FEWEST

if TYPE_CHECKING:
    from torch import Tensor

DRAWING, PHOTOGRAPH = (0.1, 0.2, 0.3), (2 / 255, 4 / 255, 8 / 255)  # radii; the last is the one that people quote
UNBOUNDED = 1.0
DRAWN = 1 / 3  # share of black or white from which a grey image is a drawing
HALF_WIDTH = 0.05  # of the 95 % interval of a rate
QUANTILE = NormalDist().inv_cdf(0.975)  # two-sided 95 %
SMALL, TARGETS = 20, 9  # classes up to which attacks go towards each of them; of more, towards how many, as of digits
BUDGET_SHARE, MOST_FEATURES = 1 / 7, 500  # of the features, the paper's 112 of 784


def radii(images: Tensor) -> tuple[float, ...]:
    """L∞ radii for images (N, C, H, W) uint8: larger for grey drawings, much of which is black or white.

    And for inputs (N, ...) of floats, which are no images.
    """
    if images.is_floating_point():
        return DRAWING
    extreme = ((images < 26) | (images > 229)).double().mean()
    return DRAWING if images.shape[1] == 1 and float(extreme) >= DRAWN else PHOTOGRAPH


def fitting_attacks() -> tuple[str, ...]:
    """All attacks that need no other network."""
    return tuple(name for name, attack in ATTACKS.items() if not attack.surrogate)


def sources_for(half_width: float) -> int:
    """How many samples keep the 95 % interval of a rate within ± `half_width`.

    Raises:
        InputError: unless it lies in (0, 0.5).
    """
    if not 0 < half_width < 0.5:
        raise InputError(f"half_width: expected a share between 0 and 0.5, got {half_width}")
    return math.ceil((QUANTILE / (2 * half_width)) ** 2)


def rising(epsilons: Sequence[float] | float) -> tuple[float, ...]:
    """Radii, or a single one, in order, each once, the unbounded one among them.

    Raises:
        InputError: for a radius outside (0, 1].
    """
    epsilons = [epsilons] if isinstance(epsilons, int | float) else epsilons
    wrong = [epsilon for epsilon in epsilons if not 0 < epsilon <= 1]
    if wrong or not len(epsilons):
        got = f"{wrong[0]:g}" if wrong else "none"
        hint = f"; for {wrong[0]:g} of 255 give {wrong[0] / 255:.4g}" if wrong and 1 < wrong[0] <= 255 else ""
        raise InputError(f"epsilons: expected radii above 0 and at most 1, for images in [0, 1], got {got}{hint}")
    return tuple(sorted({*map(float, epsilons), UNBOUNDED}))


def fitting_sections(images: Tensor, classes: int, half_width: float) -> dict[str, dict[str, Any]]:
    """Settings by section.

    Args:
        images: the test images (N, C, H, W) uint8.
        classes: K.
        half_width: of the 95 % interval of a rate, which decides the number of sources.
    """
    samples = min(sources_for(half_width), len(images))
    targets = None if classes <= SMALL else TARGETS
    pairs = min(len(images), max(FEWEST, math.ceil(samples / (targets or classes - 1))))
    few = min(len(images), FEWEST)
    # untargeted JSMA tries every class: with many of them fewer sources, for the same work
    tried = samples if targets is None else min(len(images), max(FEWEST, math.ceil(samples * targets / (classes - 1))))
    jsma = {"max_features": max(2, min(round(images[0].numel() * BUDGET_SHARE), MOST_FEATURES))}
    return {
        "jsma": {**jsma, "sources": pairs, "targets": targets},
        "jsma_decreasing": {**jsma, "sources": few, "targets": targets},
        "jsma_untargeted": {**jsma, "sources": tried, "outputs": ("probabilities", "logits", "scaled")},
        "bounded": {"samples": samples, "epsilons": rising(radii(images))},
        "cw": {"sources": few, "targets": targets, "steps": 300, "learning_rate": 0.03, "search_steps": 6},
    }


def fitted(config: Any, images: Tensor, classes: int) -> Any:
    """`config`, an AttackConfig with a half width, with what fits the data wherever it says nothing else.

    Args:
        config: a setting that is its default counts as not said.
        images: the test images (N, C, H, W) uint8.
        classes: K.
    """
    changed: dict[str, Any] = {}
    for name, values in fitting_sections(images, classes, config.half_width).items():
        section = getattr(config, name)
        default = type(section)()
        unsaid = {key: value for key, value in values.items() if getattr(section, key) == getattr(default, key)}
        changed[name] = section.model_copy(update=unsaid)
    return config.model_copy(update=changed)
