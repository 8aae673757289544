"""The page's tables of the sweep: as in the paper and as an adaptive attacker sees it, controls, what lies behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from defensive_distillation.evaluation.results import Evaluation, in_order
from defensive_distillation.reporting.page.first_screen import ADAPTIVE, NAIVE, verdict_cell
from defensive_distillation.reporting.page.parts import Html, cell, fold, join, table, tag
from defensive_distillation.reporting.measures import relative_distance
from defensive_distillation.reporting.networks import controls, distilled, models, undistilled
from defensive_distillation.reporting.paper import published
from defensive_distillation.reporting.findings.verdicts import verdicts
from defensive_distillation.reporting.words import (
    attack_name,
    column_per_cent,
    count,
    distance,
    label,
    per_cent,
    per_cent_range,
    published_per_cent,
    times,
)

_REASONS = {
    "success": "success",
    "budget": "budget spent",
    "no_pair": "no valid pair",
    "zero_gradient": "zero gradient",
}


def side_by_side(ordered: Sequence[Evaluation]) -> Html:
    """Every model twice: what the paper measures, and what an attacker measures who knows the defense."""
    networks, numbers, baseline = models(ordered), published(ordered[0].dataset), undistilled(ordered)
    naive = [
        [
            label(found),
            column_per_cent(found.accuracy),
            rate(found, "probabilities"),
            *([of_paper(numbers.success_of(found))] if numbers else []),
            _changed(found, "probabilities"),
        ]
        for found in networks
    ]
    adaptive = [
        [label(found), rate(found, "logits"), rate(found, "scaled"), _nearest(found, baseline), verdict_cell(found)]
        for found in networks
    ]
    words = (
        "Both tables describe the same networks. First what the paper measures: JSMA climbs the probabilities at "
        "temperature 1. Then what an attacker does who knows the defense: JSMA climbs the logits z, or the "
        "probabilities of z/T, and Carlini and Wagner's attack looks for the nearest adversarial sample. Below a rate "
        "its 95 % interval; below C&W's success the mean L2 distance in the average case, and in brackets how many "
        "times as far that is as without distillation."
    )
    return join(
        [
            tag("p", words),
            tag(
                "div",
                table(
                    ["", "Accuracy", "JSMA on probabilities", *(["The paper"] if numbers else []), "Features changed"],
                    naive,
                    caption=NAIVE,
                    kind="rates naive",
                ),
                table(
                    ["", "JSMA on logits", "JSMA on z/T", "C&W L2", "Gradients"],
                    adaptive,
                    caption=ADAPTIVE,
                    kind="rates adaptive",
                ),
                class_="pair",
            ),
        ]
    )


def of_controls(ordered: Sequence[Evaluation]) -> Html:
    """Each control beside the distilled network of the same temperature; nothing without controls."""
    if not controls(ordered):
        return Html("")
    by_temperature = {found.temperature: found for found in distilled(ordered)}
    body = []
    for control in controls(ordered):
        pair = [by_temperature[control.temperature]] if control.temperature in by_temperature else []
        body += [_control_row(found) for found in (*pair, control)]
    words = (
        "A control is the undistilled network with its logits multiplied by T. Nothing was distilled, every decision "
        "is the undistilled network's own; if it shows the same 'defense', the defense is the size of the logits."
    )
    head = ["", "JSMA on probabilities", "JSMA on z/T", "Zero gradients", "Mean |logit|", "Gradients"]
    return join(
        [
            tag("p", words),
            table(head, body, caption="Multiplied instead of distilled", kind="rates pairs"),
            fold("Verdict, control by control", _verdicts(ordered, control=True)),
        ]
    )


def of_models(ordered: Sequence[Evaluation]) -> Html:
    """The verdict on every model, in words."""
    return _verdicts(ordered, control=False)


def of_confidence(ordered: Sequence[Evaluation]) -> Html:
    """Table III."""
    numbers = published(ordered[0].dataset)
    has_theirs = numbers is not None and bool(numbers.confidence)
    body = [
        [
            label(found),
            column_per_cent(found.confidence),
            *([of_paper(numbers.confidence_of(found))] if numbers and has_theirs else []),
            column_per_cent(found.accuracy),
        ]
        for found in models(ordered)
    ]
    words = (
        "Mean over the test images of the largest probability at T = 1, counted as 0 where it is not the true class "
        "(Eq. 12). It cannot exceed the accuracy, and a saturated softmax brings it up to it."
    )
    head = ["", "Confidence", *(["The paper"] if has_theirs else []), "Accuracy"]
    return join([tag("p", words), table(head, body, caption="Confidence")])


def of_gradients(ordered: Sequence[Evaluation]) -> Html:
    """Zero gradients at both temperatures and precisions, folded away."""
    body = [
        [
            label(found),
            f"{found.mean_absolute_logit:.3g}",
            *(
                column_per_cent(share)
                for gradients in (found.gradients_at_1, found.gradients_at_temperature)
                for share in (gradients.zero_share_float32, gradients.zero_share_float64)
            ),
        ]
        for found in in_order(ordered)
    ]
    head = ["", "Mean |logit|", "T = 1, float32", "T = 1, float64", "z/T, float32", "z/T, float64"]
    return fold("Zero gradients in numbers", table(head, body, caption="Samples whose gradient is exactly zero"))


def of_stops(ordered: Sequence[Evaluation]) -> Html:
    """Why each attack stopped, a table a network, folded away."""
    parts = []
    for found in in_order(ordered):
        ran: list[tuple[str, int, Mapping[str, int]]] = [
            *((f"{one.attack}/{one.output}", one.pairs, one.stop_reasons) for one in found.attacks),
            *((one.name, one.samples, one.stop_reasons) for one in found.bounded),
            *((one.attack, one.pairs, one.stop_reasons) for one in found.distances),
        ]
        if ran:
            parts.append(_stops(ran, label(found)))
    words = "Of pairs, or of samples at the largest radius."
    return fold("Why each attack stopped", tag("p", words, class_="aside"), *parts) if parts else Html("")


def of_costs(ordered: Sequence[Evaluation]) -> Html:
    """Gradient evaluations, as far as they were counted, folded away."""
    spent: list[tuple[str, dict[str, float]]] = [
        (
            label(found),
            {one.name: one.gradient_evaluations for one in found.bounded}
            | {one.attack: one.gradient_evaluations for one in found.distances},
        )
        for found in in_order(ordered)
    ]
    names = list(dict.fromkeys(name for _, numbers in spent for name, number in numbers.items() if number))
    if not names:
        return Html("")
    body = [[network, *(_evaluations(numbers.get(name)) for name in names)] for network, numbers in spent if numbers]
    return fold(
        "Gradient evaluations",
        table(
            ["", *(attack_name(name) for name in names)],
            body,
            caption="Gradient evaluations, mean a sample and radius or a pair",
        ),
    )


def rate(found: Evaluation, output: str) -> Html | str:
    """A success rate of JSMA with its interval and a bar; a dash where nothing was attacked."""
    attack = found.attack(output)
    if attack is None:
        return "–"
    width = f"{100 * attack.success_rate:.1f}%"
    return join(
        [
            tag("span", column_per_cent(attack.success_rate), class_="value"),
            tag("span", Html(f'<i style="width:{width}"></i>'), class_=f"bar {output}", aria_hidden="true"),
            tag("span", per_cent_range(attack.success_interval), class_="range"),
        ],
        "",
    )


def of_paper(share: float | None) -> str:
    """A published share, or a dash."""
    return "–" if share is None else published_per_cent(share)


def _verdicts(ordered: Sequence[Evaluation], *, control: bool) -> Html:
    items = [
        tag("dt", label(found), " ", verdict_cell(found)) + tag("dd", verdict.sentence)
        for found, verdict in zip(in_order(ordered), verdicts(ordered), strict=True)
        if found.control is control
    ]
    return tag("dl", Html("".join(items)))


def _changed(found: Evaluation, output: str) -> str:
    attack = found.attack(output)
    return "–" if attack is None or attack.mean_changed_features is None else f"{attack.mean_changed_features:.1f}"


def _nearest(found: Evaluation, baseline: Evaluation | None) -> Html | str:
    nearest = found.distance("cw_l2")
    if nearest is None:
        return "–"
    length, ratio = nearest.average.mean_distance, relative_distance(found, baseline, "cw_l2")
    far = "" if length is None else f"L2 {distance(length)}"
    relative = f"({times(ratio)})" if ratio is not None and found.defended else ""
    return cell(column_per_cent(nearest.success_rate), far, relative)


def _control_row(found: Evaluation) -> list[str]:
    return [
        label(found) if found.control else f"distilled, {label(found)}",
        rate(found, "probabilities"),
        rate(found, "scaled"),
        column_per_cent(found.gradients_at_1.zero_share_float32),
        f"{found.mean_absolute_logit:.3g}",
        verdict_cell(found),
    ]


def _stops(ran: Sequence[tuple[str, int, Mapping[str, int]]], name: str) -> Html:
    reasons = [
        *_REASONS,
        *sorted({reason for _, _, stops in ran for reason in stops if reason not in _REASONS}),
    ]
    body = [
        [
            attack_name(attack),
            count(number),
            *(per_cent(stops[reason] / max(1, number)) if stops.get(reason) else "–" for reason in reasons),
        ]
        for attack, number, stops in ran
    ]
    head = ["", "Attacked", *(_REASONS.get(reason, reason.replace("_", " ")) for reason in reasons)]
    return table(head, body, caption=name)


def _evaluations(number: float | None) -> str:
    return "–" if number is None else f"{number:,.0f}" if number >= 10 else f"{number:.1f}"
