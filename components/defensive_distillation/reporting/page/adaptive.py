"""The page's tables of the adaptive attacks: distances, radii, transfer, the worst case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from defensive_distillation.evaluation.results import Evaluation, TransferFindings
from defensive_distillation.model_id import BASELINE
from defensive_distillation.reporting import attacks, words
from defensive_distillation.reporting.measures import (
    CASES,
    CaseName,
    best_transfer,
    fooled_within,
    mean_distance,
    relative_distance,
    reported_radius,
)
from defensive_distillation.reporting.networks import models, undistilled
from defensive_distillation.reporting.page.parts import DASH, Cell, Shown, Table, robust_cell, with_label
from defensive_distillation.reporting.paper import (
    CIFAR10,
    MNIST,
    SECOND_HAND_CORRELATION,
    SECOND_HAND_TEMPERATURE,
    published,
)
from defensive_distillation.reporting.words import (
    column_per_cent,
    count,
    distance,
    label,
    series,
    times,
)
from defensive_distillation.suite.registry import title

_UNITS = {"l2": "L2 distance", "l0": "L0, changed pixels", "linf": "L∞ distance"}


def of_distances(ordered: Sequence[Evaluation], figures: Sequence[Shown]) -> dict[str, Any]:
    """The attacks for the nearest sample: success and mean distance, beside C&W's own numbers, second-hand."""
    if not any(network.distances for network in ordered):
        return {}
    ran = [name for name in attacks.by_distance() if any(network.distance(name) for network in models(ordered))]
    return {
        "figures": figures,
        "tables": [_distance_table(ordered, name) for name in ran],
        "others": series([title(name) for name in ran[1:]]),
        "second_hand": _second_hand(),
        "temperature": f"T = {SECOND_HAND_TEMPERATURE:g}",
        "correlation": f"{SECOND_HAND_CORRELATION:.2f}".replace("-", "−"),
    }


def of_radii(ordered: Sequence[Evaluation]) -> Table | None:
    """What each bounded attack, and any attack at all, reaches within one radius."""
    shown = [network for network in models(ordered) if network.bounded]
    if not shown:
        return None
    names = [name for name in attacks.bounded() if any(network.within(name) for network in shown)]
    body = []
    for network in shown:
        radius = reported_radius(network)
        shares = [fooled_within(network.within(name), radius) for name in names]
        body.append(
            with_label(
                network,
                _misclassified(network),
                *map(_share, (*shares, fooled_within(network.robust, radius))),
                robust_cell(network, radius),
            )
        )
    radii = series(
        [words.radius(radius) for radius in dict.fromkeys(map(reported_radius, shown)) if radius is not None]
    )
    head = ["", "Misclassified", *map(title, names), "Any attack", "Robust accuracy"]
    return Table(head, body, f"Fooled within an L∞ radius of {radii}, of the images classified right", "wide")


def _misclassified(network: Evaluation) -> str:
    robust = network.robust
    return DASH if robust is None else f"{robust.misclassified} of {count(robust.samples)}"


def of_transfer_and_worst_case(ordered: Sequence[Evaluation]) -> dict[str, Any]:
    """Both, or nothing where neither was measured."""
    parts = {"transfer": _of_transfer(ordered), "worst": _of_worst_case(ordered)}
    return parts if any(parts.values()) else {}


def _of_transfer(ordered: Sequence[Evaluation]) -> dict[str, Any]:
    """Samples crafted on another network with rising κ, shown to each network."""
    shown = [(network, network.transfer) for network in ordered if network.transfer and network.transfer.sources]
    if not shown:
        return {}
    kappas = sorted({confidence for _, transfer in shown for confidence in transfer.confidences})
    on_itself: dict[str, TransferFindings] = {}
    for _, transfer in sorted(shown, key=lambda pair: pair[1].sources):  # last where most images are classified right
        on_itself[transfer.surrogate] = transfer
    body: list[list[str | Cell]] = [
        [
            f"{_network(surrogate)}, itself",
            *_by_confidence(kappas, dict(zip(most.confidences, most.surrogate_successes, strict=True)), most.sources),
        ]
        for surrogate, most in on_itself.items()
    ]
    body += [with_label(network, *_transfer_cells(kappas, transfer)) for network, transfer in shown]
    best = [(label(network), best) for network, _ in shown if (best := best_transfer(network))]
    easiest, (share, confidence) = max(best, key=lambda pair: pair[1][0])
    return {
        "table": Table(["", *(f"κ = {kappa:g}" for kappa in kappas)], body, "Fooled by transferred samples", "wide"),
        "greatest": f"{column_per_cent(share)} at {easiest} with κ = {confidence:g}",
    }


def _of_worst_case(ordered: Sequence[Evaluation]) -> dict[str, Any]:
    """Per source the nearest sample that any attack found."""
    baseline = undistilled(ordered)
    shown = [(network, network.worst_case) for network in ordered if network.worst_case and network.worst_case.sources]
    if not shown:
        return {}
    start = baseline.worst_case.mean_l2 if baseline and baseline.worst_case else None
    body = []
    for network, worst in shown:
        ratio = f"({times(worst.mean_l2 / start)})" if start and worst.mean_l2 is not None and network.defended else ""
        nearest = sorted(worst.nearest.items(), key=lambda pair: (-pair[1], pair[0]))
        body.append(
            with_label(
                network,
                Cell(column_per_cent(worst.fooled / worst.sources), below=(f"of {count(worst.sources)}",)),
                _length(worst.mean_l0),
                Cell(_length(worst.mean_l2), below=(ratio,)),
                _length(worst.mean_linf),
                ", ".join(f"{title(attack)} {number}" for attack, number in nearest if number) or DASH,
            )
        )
    head = ["", "Fooled", "L0", "L2", "L∞", "Nearest"]
    return {
        "table": Table(head, body, "Worst case over all attacks", "worst"),
        "attacks": len({attack for _, worst in shown for attack in worst.attacks}),
    }


def _second_hand() -> str:
    """Carlini and Wagner's own numbers, whatever the dataset here."""
    return series(
        [
            f"on {numbers.title} {of.undistilled:g} and {of.distilled:g} in {norm}"
            for attack, norm in attacks.CARLINI_WAGNER.items()
            for numbers in (MNIST, CIFAR10)
            if (of := numbers.second_hand.get(attack))
        ]
    )


def _distance_table(ordered: Sequence[Evaluation], attack: str) -> Table:
    baseline, numbers = undistilled(ordered), published(ordered[0].dataset)
    theirs = numbers if numbers and attack in numbers.second_hand else None
    ran = [(network, distances) for network in models(ordered) if (distances := network.distance(attack))]
    body = []
    for network, distances in ran:
        success = column_per_cent(distances.success_rate)
        row = [
            Cell(success, "missed") if distances.successes < distances.pairs else success,
            _share(distances.in_eight_bits),
            *(_distance_cell(network, baseline, attack, case) for case in CASES),
        ]
        if theirs:
            number = theirs.second_hand_distance_of(network, attack)
            row.append(DASH if number is None else f"{number:g}")
        body.append(with_label(network, *row))
    head = ["", "Success", "In 8 bits", *(f"{case.capitalize()} case" for case in CASES)]
    head += ["C&W, best, second-hand"] if theirs else []
    norm = ran[0][1].norm
    return Table(head, body, f"{title(attack)}: mean {_UNITS.get(norm, norm)}")


def _distance_cell(network: Evaluation, baseline: Evaluation | None, attack: str, case: CaseName) -> Cell | str:
    length, ratio = mean_distance(network, attack, case), relative_distance(network, baseline, attack, case)
    if length is None:
        return DASH
    return Cell(distance(length), below=(f"({times(ratio)})" if ratio is not None and network.defended else "",))


def _transfer_cells(kappas: Sequence[float], transfer: TransferFindings) -> list[str | Cell]:
    lengths = dict(zip(transfer.confidences, transfer.mean_l2, strict=True))
    shares = _by_confidence(kappas, dict(zip(transfer.confidences, transfer.successes, strict=True)), transfer.sources)
    return [
        Cell(share, below=(f"L2 {distance(length)}",)) if (length := lengths.get(kappa)) is not None else share
        for kappa, share in zip(kappas, shares, strict=True)
    ]


def _by_confidence(kappas: Sequence[float], hits: dict[float, int], samples: int) -> list[str]:
    return [column_per_cent(hits[kappa] / samples) if kappa in hits else DASH for kappa in kappas]


def _network(name: str) -> str:
    return BASELINE.title if name == BASELINE.label else name


def _share(share: float | None) -> str:
    return DASH if share is None else column_per_cent(share)


def _length(length: float | None) -> str:
    return DASH if length is None else distance(length)
