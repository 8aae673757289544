"""The page's tables of the adaptive attacks: distances, radii, transfer, the worst case, sanity conditions."""

from __future__ import annotations

from collections.abc import Sequence

from defensive_distillation.evaluation.results import Condition, Evaluation, TransferFindings, in_order
from defensive_distillation.reporting.page.parts import Html, cell, fold, join, table, tag
from defensive_distillation.reporting.measures import (
    CASES,
    best_transfer,
    fooled_within,
    mean_distance,
    relative_distance,
    reported_radius,
)
from defensive_distillation.reporting.networks import models, undistilled
from defensive_distillation.reporting.paper import (
    CIFAR10,
    MNIST,
    SECOND_HAND_CORRELATION,
    SECOND_HAND_TEMPERATURE,
    published,
)
from defensive_distillation.reporting.words import (
    BOUNDED,
    CONDITIONS,
    DISTANCES,
    attack_name,
    column_per_cent,
    count,
    distance,
    label,
    series,
    times,
)

_UNITS = {"cw_l2": "L2 distance", "cw_l0": "L0, changed pixels", "cw_linf": "L∞ distance"}
_ATTACKERS = {"naive": "through the softmax at T = 1", "adaptive": "through the logits"}


def of_distances(ordered: Sequence[Evaluation]) -> Html:
    """Carlini and Wagner's attacks: success and mean distance, beside their own numbers, second-hand."""
    ran = [attack for attack in DISTANCES if any(found.distance(attack) for found in models(ordered))]
    if not ran:
        return Html("")
    words = (
        "Means over the pairs where the attack succeeds, and it should always: a success below 100 % is set in red. In "
        "brackets how many times as far it is as without distillation, where the attack succeeds on both networks."
    )
    first, *rest = (_distance_table(ordered, attack) for attack in ran)
    others = [fold(f"The same for {series([attack_name(attack) for attack in ran[1:]])}", *rest)] if rest else []
    return join([tag("p", words), first, *others, tag("p", _second_hand(), class_="aside")])


def of_radii(ordered: Sequence[Evaluation]) -> Html:
    """What each bounded attack reaches within one radius, transfer, and any attack at all."""
    shown = [found for found in models(ordered) if found.bounded]
    if not shown:
        return Html("")
    names = [name for name in BOUNDED if any(found.within(name) for found in shown)]
    body = []
    for found in shown:
        radius = reported_radius(found)
        shares = [fooled_within(found.within(name), radius) for name in names]
        body.append([label(found), *(_share(share) for share in (*shares, fooled_within(found.worst_case, radius)))])
    radii = series([f"{radius:g}" for radius in dict.fromkeys(map(reported_radius, shown)) if radius is not None])
    head = ["", *(BOUNDED[name] for name in names), "Any attack"]
    return table(head, body, caption=f"Samples fooled within an L∞ radius of {radii}", kind="wide")


def of_transfer(ordered: Sequence[Evaluation]) -> Html:
    """Samples crafted on another network with rising κ, shown to each network."""
    shown = [(found, found.transfer) for found in in_order(ordered) if found.transfer and found.transfer.samples]
    if not shown:
        return Html("")
    confidences = sorted({confidence for _, transfer in shown for confidence in transfer.confidences})
    on_itself = dict.fromkeys(
        (transfer.surrogate, transfer.samples, transfer.confidences, transfer.surrogate_successes)
        for _, transfer in shown
    )
    body: list[list[str]] = [
        [
            f"{_network(surrogate)}, itself",
            *_by_confidence(confidences, dict(zip(kappas, hits, strict=True)), samples),
        ]
        for surrogate, samples, kappas, hits in on_itself
    ]
    body += [[label(found), *_transfer_cells(confidences, transfer)] for found, transfer in shown]
    best = [(label(found), best) for found, _ in shown if (best := best_transfer(found))]
    strongest = max(best, key=lambda pair: pair[1][0])
    words = (
        "Samples of Carlini and Wagner's L2 attack, crafted with confidence κ on the network named first and shown to "
        "the others, untargeted. They use nothing of the network they fool. The greatest share: "
        f"{column_per_cent(strongest[1][0])} at {strongest[0]} with κ = {strongest[1][1]:g}. Below a share the mean L2 "
        "distance of the samples that fool."
    )
    head = ["", *(f"κ = {confidence:g}" for confidence in confidences)]
    return join([tag("p", words), table(head, body, caption="Fooled by transferred samples", kind="wide")])


def of_worst_case(ordered: Sequence[Evaluation]) -> Html:
    """Per source the nearest sample that any attack found."""
    baseline = undistilled(ordered)
    shown = [(found, found.worst_case) for found in in_order(ordered) if found.worst_case and found.worst_case.sources]
    if not shown:
        return Html("")
    start = baseline.worst_case.mean_l2 if baseline and baseline.worst_case else None
    body = []
    for found, worst in shown:
        ratio = f"({times(worst.mean_l2 / start)})" if start and worst.mean_l2 is not None and found.defended else ""
        nearest = sorted(worst.nearest.items(), key=lambda pair: (-pair[1], pair[0]))
        body.append(
            [
                label(found),
                cell(column_per_cent(worst.fooled / worst.sources), f"of {count(worst.sources)}"),
                _length(worst.mean_l0),
                cell(_length(worst.mean_l2), ratio),
                _length(worst.mean_linf),
                ", ".join(f"{attack_name(attack)} {number}" for attack, number in nearest if number) or "–",
            ]
        )
    attacks = list(dict.fromkeys(attack for _, worst in shown for attack in worst.attacks))
    words = (
        f"Per source the nearest misclassified sample that any of {len(attacks)} attacks found: the mean of the "
        "minimum, each distance the smallest in its own norm. Last, how many sources each attack was nearest for in L2."
    )
    head = ["", "Fooled", "L0", "L2", "L∞", "Nearest"]
    return join([tag("p", words), table(head, body, caption="Worst case over all attacks", kind="worst")])


def of_conditions(ordered: Sequence[Evaluation]) -> Html:
    """Which sanity conditions hold; those that fail as findings, with what they mean."""
    ran = [found for found in in_order(ordered) if found.conditions]
    if not ran:
        return Html("")
    words = (
        "What holds of every sound attack on a network whose gradients are not masked. Where it fails for an attacker "
        "who goes through the softmax at T = 1, the gradients are masked; where it fails for one who uses the logits, "
        "the attack is broken and its numbers are worth little."
    )
    parts = [_by_attacker(ran, attacker) for attacker in _ATTACKERS]
    return join([tag("p", words), *(part for part in parts if part), _failures(ran), _passes(ran)])


def _second_hand() -> str:
    """Carlini and Wagner's own numbers, whatever the dataset here."""
    said = [
        f"on {numbers.title} {of.undistilled:g} and {of.distilled:g} in {norm}"
        for norm, attack in (("L2", "cw_l2"), ("L0", "cw_l0"))
        for numbers in (MNIST, CIFAR10)
        if (of := numbers.second_hand.get(attack))
    ]
    return (
        "Second-hand, from Carlini and Wagner (2017), who reached every target: mean distance in the best case without "
        f"distillation and distilled at T = {SECOND_HAND_TEMPERATURE:g}, {series(said)}; about equal in L∞. "
        f"Temperature and mean L2 distance correlate by {SECOND_HAND_CORRELATION:.2f}.".replace(" -0", " −0")
    )


def _distance_table(ordered: Sequence[Evaluation], attack: str) -> Html:
    baseline, numbers = undistilled(ordered), published(ordered[0].dataset)
    has_theirs = numbers is not None and attack in numbers.second_hand
    body = []
    for found in models(ordered):
        distances = found.distance(attack)
        if distances is None:
            continue
        success = column_per_cent(distances.success_rate)
        missed = distances.successes < distances.pairs
        theirs = numbers.second_hand_distance_of(found, attack) if numbers else None
        body.append(
            [
                label(found),
                tag("span", success, class_="missed") if missed else success,
                *(_distance_cell(found, baseline, attack, number) for number in range(len(CASES))),
                *(["–" if theirs is None else f"{theirs:g}"] if has_theirs else []),
            ]
        )
    head = ["", "Success", *(f"{case.capitalize()} case" for case in CASES)]
    head += ["C&W, best, second-hand"] if has_theirs else []
    return table(head, body, caption=f"{attack_name(attack)}: mean {_UNITS[attack]}")


def _distance_cell(found: Evaluation, baseline: Evaluation | None, attack: str, number: int) -> Html | str:
    case = CASES[number]
    length, ratio = mean_distance(found, attack, case), relative_distance(found, baseline, attack, case)
    if length is None:
        return "–"
    return cell(distance(length), f"({times(ratio)})" if ratio is not None and found.defended else "")


def _transfer_cells(confidences: Sequence[float], transfer: TransferFindings) -> list[str]:
    lengths = dict(zip(transfer.confidences, transfer.mean_l2, strict=True))
    cells = _by_confidence(
        confidences, dict(zip(transfer.confidences, transfer.successes, strict=True)), transfer.samples
    )
    return [
        cell(share, f"L2 {distance(length)}") if (length := lengths.get(confidence)) is not None else share
        for confidence, share in zip(confidences, cells, strict=True)
    ]


def _by_confidence(confidences: Sequence[float], hits: dict[float, int], samples: int) -> list[str]:
    return [column_per_cent(hits[kappa] / samples) if kappa in hits else "–" for kappa in confidences]


def _network(name: str) -> str:
    return "no distillation" if name == "baseline" else name


def _by_attacker(ran: Sequence[Evaluation], attacker: str) -> Html:
    """What holds for one attacker: a line where everything does, else a table."""
    made = [one for found in ran for one in found.conditions if one.attacker == attacker]
    if not made:
        return Html("")
    if all(one.passed for one in made):
        return tag("p", f"An attacker {_ATTACKERS[attacker]}: all {count(len(made))} conditions hold.")
    named = dict.fromkeys(one.name for one in made)
    names = [*(name for name in CONDITIONS if name in named), *(name for name in named if name not in CONDITIONS)]
    return table(
        ["", *(_condition_name(name) for name in names)],
        [[label(found), *(_mark(found, attacker, name) for name in names)] for found in ran],
        caption=f"An attacker {_ATTACKERS[attacker]}",
        kind="marks",
    )


def _mark(found: Evaluation, attacker: str, name: str) -> Html | str:
    """Whether one condition holds, of every attack that it was checked on."""
    passed = [one.passed for one in found.conditions if (one.attacker, one.name) == (attacker, name)]
    if not passed:
        return "–"
    return "holds" if all(passed) else tag("b", "fails", class_="fails")


def _failures(ran: Sequence[Evaluation]) -> Html:
    """What failed by network and attacker, with what it means."""
    items = []
    for found in ran:
        for attacker, how in _ATTACKERS.items():
            failures = [one for one in found.conditions if one.attacker == attacker and not one.passed]
            if failures:
                means = series(list(dict.fromkeys(one.meaning for one in failures)))
                sentences = [tag("li", f"{_condition_name(one.name)}: {_sentence(one)}") for one in failures]
                items.append(
                    tag("dt", f"{label(found)}, {how}", " ", tag("span", means, class_="verdict yes"))
                    + tag("dd", tag("ul", *sentences, class_="small"))
                )
    return tag("dl", Html("".join(items))) if items else Html("")


def _passes(ran: Sequence[Evaluation]) -> Html:
    items = [
        tag("li", f"{label(found)}, {_ATTACKERS[one.attacker]}, {_condition_name(one.name)}: {_sentence(one)}")
        for found in ran
        for one in found.conditions
        if one.passed
    ]
    return fold(f"The {count(len(items))} that hold", tag("ul", *items, class_="small")) if items else Html("")


def _sentence(condition: Condition) -> str:
    """The condition's sentence, the attacks in it by their names for a reader."""
    told = condition.sentence
    for name, shown in (BOUNDED | DISTANCES).items():
        if "/" in name or "_" in name:  # 'noise' is a word as it is
            told = told.replace(name, shown)
    return told if told.endswith(".") else f"{told}."


def _condition_name(name: str) -> str:
    return CONDITIONS.get(name, name.replace("_", " "))


def _share(share: float | None) -> str:
    return "–" if share is None else column_per_cent(share)


def _length(length: float | None) -> str:
    return "–" if length is None else distance(length)
