"""What was done here beside what the paper did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from defensive_distillation.evaluation.results import AttackFindings, DistanceFindings, Evaluation
from defensive_distillation.reporting import attacks
from defensive_distillation.reporting.networks import controls, models, others
from defensive_distillation.reporting.page.parts import Cell, Table
from defensive_distillation.reporting.paper import EPOCHS, UNVERIFIED_MAX_FEATURES, UNVERIFIED_PAIRS, published
from defensive_distillation.reporting.words import count, counted, drawn_targets, label, series, shorten
from defensive_distillation.suite.registry import title


@dataclass(frozen=True)
class Setting:
    """One line: what, here, in the paper ('–' where the paper has no such thing), and whether they differ."""

    name: str
    here: str
    paper: str = "–"
    differs: bool = False


def settings(ordered: Sequence[Evaluation], *, code_version: str) -> list[Setting]:
    """The setting of a sweep, line by line."""
    return [
        *_data(ordered),
        *_training(ordered),
        *_jsma(ordered),
        *_other_jsma(ordered),
        *_bounded(ordered),
        *_distances(ordered),
        *_transfer(ordered),
        *_origin(ordered, code_version),
    ]


def as_table(lines: Sequence[Setting]) -> Table:
    """The page's table of them."""
    body: list[list[str | Cell]] = [
        [line.name, line.here, Cell(line.paper, "", differs=line.differs)] for line in lines
    ]
    return Table(["", "Here", "The paper"], body, "Setting", "setting")


def _data(ordered: Sequence[Evaluation]) -> list[Setting]:
    dataset = ordered[0].dataset
    numbers = published(dataset)
    images = f"{count(dataset.train_images)} training, {count(dataset.test_images)} test"
    theirs = f"{count(numbers.train_images)} training, {count(numbers.test_images)} test" if numbers else "–"
    names = shorten(", ".join(dataset.classes), 120)
    return [
        Setting("Dataset", dataset.name, numbers.title if numbers else "MNIST, CIFAR-10", numbers is None),
        Setting("Images", images, theirs, numbers is not None and images != theirs),
        _size(dataset.image_shape),
        Setting("Classes", f"{len(dataset.classes)}: {names}"),
        Setting("Dataset digest", dataset.digest),
    ]


def _size(shape: tuple[int, ...]) -> Setting:
    """Of an image, or of what is none."""
    if len(shape) != 3 or shape[0] not in (1, 3):
        return Setting("Input shape", " × ".join(map(str, shape)))
    channels, height, width = shape
    return Setting("Image size", f"{height} × {width}, {channels} channel{'s' if channels > 1 else ''}")


def _training(ordered: Sequence[Evaluation]) -> list[Setting]:
    numbers = published(ordered[0].dataset)
    architectures = _distinct(network.architecture for network in ordered)
    epochs = _distinct(f"{len(network.training)}" for network in models(ordered) if network.training)
    defenses = others(ordered)
    temperatures = [label(network).removeprefix("T = ") for network in models(ordered) if network not in defenses]
    multiplied = ", ".join(f"{network.temperature:g}" for network in controls(ordered))
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
        *([Setting("Other defenses", series([label(network) for network in defenses]))] if defenses else []),
        *([Setting("Controls, logits times T", multiplied)] if multiplied else []),
        Setting("Epochs", epochs or "not recorded", f"{EPOCHS}", epochs != f"{EPOCHS}"),
        Setting("Seed", _distinct(f"{network.seed}" for network in ordered)),
    ]


def _jsma(ordered: Sequence[Evaluation]) -> list[Setting]:
    attacks = [attack for network in ordered for attack in network.jsma]
    if not attacks:
        return [Setting("JSMA", "not run", "on probabilities", differs=True)]
    numbers = published(ordered[0].dataset)

    def every(value: Callable[[AttackFindings], str]) -> str:
        return _distinct(value(attack) for attack in attacks)

    pairs, features = (
        every(lambda attack: count(attack.pairs) + drawn_targets(attack.targets)),
        every(lambda attack: f"{attack.max_features}"),
    )
    outputs = every(lambda attack: "z/T" if attack.output == "scaled" else attack.output)
    total = 1
    for side in ordered[0].dataset.image_shape:
        total *= side
    here = f"{features} of {count(total)}"
    return [
        Setting("JSMA", f"on {outputs}", "on probabilities", outputs != "probabilities"),
        Setting("Change of a feature, θ", every(_theta), "to its maximum (+1)"),
        Setting(
            "Features that may change",
            here,
            f"{UNVERIFIED_MAX_FEATURES} (unverified)",
            bool(numbers) and features != f"{UNVERIFIED_MAX_FEATURES}",
        ),
        Setting("Pairs a model", pairs, f"{count(UNVERIFIED_PAIRS)} (unverified)", pairs != count(UNVERIFIED_PAIRS)),
    ]


def _other_jsma(ordered: Sequence[Evaluation]) -> list[Setting]:
    lines = []
    for kind in attacks.other_by_budget():
        ran = [attack for network in ordered for attack in network.attacks if attack.attack == kind.name]
        if ran:
            outputs = series(list(dict.fromkeys("z/T" if one.output == "scaled" else one.output for one in ran)))
            here = (
                f"on {outputs}; θ = {_distinct(_theta(one) for one in ran)}, "
                f"{_distinct(f'{one.max_features}' for one in ran)} features, "
                f"{_distinct(count(one.pairs) for one in ran)} {'pairs' if kind.targeted else 'sources'}"
                f"{_distinct(drawn_targets(one.targets) for one in ran)}"
            )
            lines.append(Setting(kind.title, here))
    return lines


def _bounded(ordered: Sequence[Evaluation]) -> list[Setting]:
    ran = [bounded for network in ordered for bounded in network.bounded]
    if not ran:
        return []
    names = series(list(dict.fromkeys(title(one.name) for one in ran)))
    radii = _distinct(", ".join(f"{epsilon:g}" for epsilon in one.epsilons) for one in ran)
    return [
        Setting("Bounded attacks", names),
        Setting("Their L∞ radii", radii),
        Setting("Their images", _distinct(count(one.sources + one.misclassified) for one in ran)),
        *_spent("Most gradients a sample and radius", [(one.name, one.gradient_evaluations) for one in ran]),
    ]


def _distances(ordered: Sequence[Evaluation]) -> list[Setting]:
    """A line for Carlini and Wagner's attacks, and one for others."""
    ran = [distances for network in ordered for distances in network.distances]
    if not ran:
        return []
    theirs = [one for one in ran if one.attack in attacks.CARLINI_WAGNER]
    others = [one for one in ran if one not in theirs]
    return [
        *(_nearest("Carlini and Wagner", theirs) if theirs else []),
        *(_nearest("Other attacks for the nearest sample", others) if others else []),
        *_spent("Most gradients a pair", [(one.attack, one.gradient_evaluations) for one in ran]),
    ]


def _nearest(name: str, ran: Sequence[DistanceFindings]) -> list[Setting]:
    names = series([title(attack) for attack in attacks.by_distance() if any(one.attack == attack for one in ran)])
    many = _distinct(
        f"{counted(one.sources, 'source')}, {counted(one.pairs, 'pair')}{drawn_targets(one.targets)}" for one in ran
    )
    return [Setting(name, f"{names}; {many}")]


def _spent(name: str, spent: Sequence[tuple[str, float]]) -> list[Setting]:
    """The most that each attack spent on any network."""
    most: dict[str, float] = {}
    for attack, number in spent:
        most[attack] = max(number, most.get(attack, 0.0))
    here = ", ".join(f"{title(attack)} {number:,.0f}" for attack, number in most.items() if number)
    return [Setting(name, here)] if here else []


def _transfer(ordered: Sequence[Evaluation]) -> list[Setting]:
    transfers = [network.transfer for network in ordered if network.transfer]
    if not transfers:
        return []
    samples = _distinct(count(one.sources + one.misclassified) for one in transfers)
    confidences = _distinct(", ".join(f"{kappa:g}" for kappa in one.confidences) for one in transfers)
    return [Setting("Transfer", f"{samples} samples of C&W L2; κ = {confidences}")]


def _origin(ordered: Sequence[Evaluation], code_version: str) -> list[Setting]:
    samples = _distinct(count(network.gradients_at_1.samples) for network in ordered)
    return [
        Setting("Samples for gradients", samples, "10,000", samples != "10,000"),
        Setting("Code version", code_version),
    ]


def _theta(attack: AttackFindings) -> str:
    return f"{attack.theta:+g}".replace("-", "−")


def _distinct(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))
