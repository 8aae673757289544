"""What an attack states of itself once: its function, its settings, what it is measured by, and how it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from defensive_distillation.settings import Settings

FEWEST = 10  # sources, below which a number says on how many it rests

Attacker = Literal["naive", "adaptive", "gradient-free"]
Family = Literal["budget", "ball", "distance", "transfer"]


class Section(Settings):
    """Settings of one attack, or of several that share them; a part of the settings of the stage `attack`."""


@dataclass(frozen=True)
class Variant:
    """One way to call an attack's function.

    Attributes:
        key: what it differentiates, such as 'logits'; '' for the only variant.
        title: for a reader, such as 'JSMA on logits'.
        attacker: naive, through the softmax at T = 1; adaptive, who knows the defense; or gradient-free.
        arguments: of the function.
        at_training_temperature: whether the function gets the model's T as `temperature`.
    """

    key: str
    title: str
    attacker: Attacker
    arguments: Mapping[str, Any] = field(default_factory=dict)
    at_training_temperature: bool = False


@dataclass(frozen=True, kw_only=True)
class Attack:
    """An attack of the pipeline. What takes `Any` takes the settings of the stage, an AttackConfig.

    Attributes:
        name: in settings and files, such as 'square'.
        title: for a reader.
        order: its place among the attacks, which tables and the worst case follow.
        effort: how long it takes beside the others, from 0: a step that runs several begins with the quick ones.
        function: 'module:function' of (model, images, classes, *, …) -> AttackResult.
        family: by what it is measured: the features it needs (budget), the share it fools within L∞ balls (ball), the
            distance it needs (distance), or the share that samples of another network fool (transfer).
        sections: the settings that it heeds, by name.
        variants: all that there are.
        chosen: the keys of the variants that the settings ask for; None means all.
        sources: how many test images are attacked.
        targets: towards how many other classes each, drawn at random for it; None for every other class.
        arguments: of the function, the same for all variants.
        level: name of the argument that takes the levels, '' without any.
        levels: radii or confidences, rising.
        targeted: each image towards every other class, or away from its own.
        dense: whether most features change.
        random: whether the function takes the samples' seeds.
        surrogate: whether it needs the undefended network, which it crafts its samples on.
        on_controls: whether a sweep runs it on the controls as well.
        iterates: whether it is the strongest of its family, to which others are compared.
        condition: the sanity condition by which the strongest attack is at least as strong as this one; '' for none.
        by_class: whether the report shows its samples by source and target class.
    """

    name: str
    title: str
    order: int
    effort: int
    function: str
    family: Family
    sections: Mapping[str, type[Section]]
    variants: tuple[Variant, ...]
    chosen: Callable[[Any], Sequence[str]] | None = None
    sources: Callable[[Any], int]
    targets: Callable[[Any], int | None] = lambda config: None
    arguments: Callable[[Any], Mapping[str, Any]] = lambda config: {}
    level: str = ""
    levels: Callable[[Any], tuple[float, ...]] = lambda config: ()
    targeted: bool = True
    dense: bool = True
    random: bool = False
    surrogate: bool = False
    on_controls: bool = False
    iterates: bool = False
    condition: str = ""
    by_class: bool = False

    def variant_name(self, variant: Variant) -> str:
        """'jsma/logits', or 'noise' of an attack with one variant without a key."""
        return f"{self.name}/{variant.key}" if variant.key else self.name

    def variants_of(self, config: Any) -> list[Variant]:
        """The variants that the settings ask for, in the order of the settings."""
        if self.chosen is None:
            return list(self.variants)
        by_key = {variant.key: variant for variant in self.variants}
        return [by_key[key] for key in self.chosen(config)]
