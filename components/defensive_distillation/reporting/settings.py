"""What was done here beside what the paper did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from defensive_distillation.evaluation import AttackFindings, Evaluation
from defensive_distillation.reporting.paper import (
    EPOCHS,
    UNVERIFIED_MAX_FEATURES,
    UNVERIFIED_PAIRS,
    published,
)
from defensive_distillation.reporting.words import count, label, shorten


@dataclass(frozen=True)
class Setting:
    """One line: what, here, in the paper ('–' where the paper has no such thing), and whether they differ."""

    name: str
    here: str
    paper: str = "–"
    differs: bool = False


def settings(ordered: Sequence[Evaluation], *, code_version: str) -> list[Setting]:
    """The setting of a sweep, line by line."""
    return [*_data(ordered), *_training(ordered), *_attacks(ordered), *_origin(ordered, code_version)]


def _data(ordered: Sequence[Evaluation]) -> list[Setting]:
    dataset = ordered[0].dataset
    numbers = published(dataset)
    images = f"{count(dataset.train_images)} training, {count(dataset.test_images)} test"
    theirs = f"{count(numbers.train_images)} training, {count(numbers.test_images)} test" if numbers else "–"
    channels, height, width = dataset.image_shape
    names = shorten(", ".join(dataset.classes), 120)
    return [
        Setting("Dataset", dataset.name, numbers.title if numbers else "MNIST, CIFAR-10", numbers is None),
        Setting("Images", images, theirs, numbers is not None and images != theirs),
        Setting("Image size", f"{height} × {width}, {channels} channel{'s' if channels > 1 else ''}"),
        Setting("Classes", f"{len(dataset.classes)}: {names}"),
        Setting("Dataset digest", dataset.digest),
    ]


def _training(ordered: Sequence[Evaluation]) -> list[Setting]:
    numbers = published(ordered[0].dataset)
    architectures = _distinct(found.architecture for found in ordered)
    epochs = _distinct(f"{len(found.training)}" for found in ordered if found.training)
    temperatures = [label(found).removeprefix("T = ") for found in ordered]
    asked = [f"{t:g}" for t in numbers.success] if numbers else []
    theirs = ", ".join(["no distillation", *asked]) if numbers else "–"
    return [
        Setting(
            "Architecture",
            architectures,
            numbers.architecture if numbers else "–",
            numbers is not None and architectures != numbers.architecture,
        ),
        Setting("Temperatures", ", ".join(temperatures), theirs, bool(numbers) and ", ".join(temperatures) != theirs),
        Setting("Epochs", epochs or "not recorded", f"{EPOCHS}", epochs != f"{EPOCHS}"),
        Setting("Seed", _distinct(f"{found.seed}" for found in ordered)),
    ]


def _attacks(ordered: Sequence[Evaluation]) -> list[Setting]:
    attacks = [attack for found in ordered for attack in found.attacks]
    if not attacks:
        return [Setting("Attack", "none", "JSMA on probabilities", differs=True)]
    numbers = published(ordered[0].dataset)

    def every(value: Callable[[AttackFindings], str]) -> str:
        return _distinct(value(attack) for attack in attacks)

    pairs, features = every(lambda attack: count(attack.pairs)), every(lambda attack: f"{attack.max_features}")
    outputs = every(lambda attack: "z/T" if attack.output == "scaled" else attack.output)
    total = 1
    for side in ordered[0].dataset.image_shape:
        total *= side
    here = f"{features} of {count(total)}"
    return [
        Setting("Attack", f"JSMA on {outputs}", "JSMA on probabilities", outputs != "probabilities"),
        Setting("Change of a feature, θ", every(lambda attack: f"{attack.theta:+g}"), "to its maximum (+1)"),
        Setting(
            "Features that may change",
            here,
            f"{UNVERIFIED_MAX_FEATURES} (unverified)",
            bool(numbers) and features != f"{UNVERIFIED_MAX_FEATURES}",
        ),
        Setting(
            "Pairs a model",
            pairs,
            f"{count(UNVERIFIED_PAIRS)} (unverified)",
            pairs != count(UNVERIFIED_PAIRS),
        ),
    ]


def _origin(ordered: Sequence[Evaluation], code_version: str) -> list[Setting]:
    samples = _distinct(count(found.gradients_at_1.samples) for found in ordered)
    return [
        Setting("Samples for gradients", samples, "10,000", samples != "10,000"),
        Setting("Code version", code_version),
    ]


def _distinct(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))
