"""Whether every share of an attack's samples has one, as far as settings and the data tell before anything runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from defensive_distillation.suite.registry import ATTACKS
from defensive_distillation.suite.specification import Attack

_COUNTS = ("samples", "sources")  # what settings call the number of images that are attacked


def require_shares(
    config: Any, attacks: Iterable[str], *, classes: int | None = None, images: int | None = None
) -> None:
    """Refuses more shards than an attack has samples.

    Args:
        config: an AttackConfig.
        attacks: their names.
        classes: K; None where nobody knows yet.
        images: of the test side; None likewise.

    Raises:
        ValueError: naming the attack, and what decides how many samples it has.
    """
    if config.shards == 1 or (config.half_width is not None and images is None):
        return
    if config.half_width is not None and classes is not None and images is not None:
        config = _fitted(config, classes, images)
    for name in attacks:
        most, told = _most(ATTACKS[name], config, classes, images)
        if most is not None and config.shards > most:
            raise ValueError(
                f"attack.shards: expected at most {most}, the samples of {name} ({told}), got {config.shards}"
            )


def _fitted(config: Any, classes: int, images: int) -> Any:
    import torch

    from defensive_distillation.suite.fitting import fitted

    return fitted(config, torch.zeros(images, 1, 1, 1, dtype=torch.uint8), classes)  # how many decides how many


def _most(attack: Attack, config: Any, classes: int | None, images: int | None) -> tuple[int | None, str]:
    """How many samples an attack has at most, None where nobody knows, and why."""
    sources, told = attack.sources(config), f"{_setting(attack)} = {attack.sources(config)}"
    if images is not None and images < sources:
        sources, told = images, f"{images} test images"
    if not attack.targeted:
        return sources, told
    others = [count for count in (attack.targets(config), classes and classes - 1) if count is not None]
    if not others:
        return None, told
    return sources * min(others), f"{told}, {min(others)} other classes each"


def _setting(attack: Attack) -> str:
    """What decides how many images it attacks."""
    return next(
        f"attack.{name}.{key}"
        for name, section in attack.sections.items()
        for key in _COUNTS
        if key in section.model_fields
    )
