"""The page's tables of the sweep: as in the paper, as an adaptive attacker sees it, verdicts, controls, confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting import words
from defensive_distillation.reporting.findings.verdicts import verdicts
from defensive_distillation.reporting.measures import relative_distance, reported_radius
from defensive_distillation.reporting.networks import controls, distilled, models, undistilled
from defensive_distillation.reporting.page.first_screen import ADAPTIVE, NAIVE
from defensive_distillation.reporting.page.parts import DASH, Cell, Table, robust_cell, verdict_cell, with_label
from defensive_distillation.reporting.paper import published
from defensive_distillation.reporting.words import (
    column_per_cent,
    distance,
    label,
    per_cent_range,
    published_per_cent,
    times,
)


def side_by_side(ordered: Sequence[Evaluation]) -> list[Table]:
    """Every model twice: what the paper measures, and what an attacker measures who knows the defense."""
    networks, numbers, baseline = models(ordered), published(ordered[0].dataset), undistilled(ordered)
    radius = max((of for network in networks if (of := reported_radius(network)) is not None), default=None)
    naive = [
        with_label(
            network,
            column_per_cent(network.accuracy),
            _rate(network, "probabilities"),
            *([_of_paper(numbers.success_of(network))] if numbers else []),
            _changed(network, "probabilities"),
        )
        for network in networks
    ]
    adaptive = [
        with_label(
            network,
            *([robust_cell(network, radius)] if radius is not None else []),
            _rate(network, "logits"),
            _rate(network, "scaled"),
            _nearest(network, baseline),
            verdict_cell(network),
        )
        for network in networks
    ]
    theirs = ["The paper"] if numbers else []
    robust = [] if radius is None else [f"Robust, ε = {words.radius(radius)}"]
    return [
        Table(["", "Accuracy", "JSMA on probabilities", *theirs, "Features changed"], naive, NAIVE, "rates naive"),
        Table(
            ["", *robust, "JSMA on logits", "JSMA on z/T", "C&W L2", "Gradients"], adaptive, ADAPTIVE, "rates adaptive"
        ),
    ]


def verdicts_on(ordered: Sequence[Evaluation], *, control: bool) -> list[tuple[str, Cell, str]]:
    """The verdict on every model, or on every control, in words."""
    sentences = {verdict.model: verdict.sentence for verdict in verdicts(ordered)}
    networks = controls(ordered) if control else models(ordered)
    return [(label(network), verdict_cell(network), sentences[network.name]) for network in networks]


def of_controls(ordered: Sequence[Evaluation]) -> dict[str, Any]:
    """Each control beside the distilled network of the same temperature; nothing without controls."""
    if not controls(ordered):
        return {}
    body = []
    for control in controls(ordered):
        pair = [network for network in distilled(ordered) if network.temperature == control.temperature]
        body += [_control_row(network) for network in (*pair, control)]
    head = ["", "JSMA on probabilities", "JSMA on z/T", "Zero gradients", "Mean |logit|", "Gradients"]
    return {
        "table": Table(head, body, "Multiplied instead of distilled", "rates pairs"),
        "verdicts": verdicts_on(ordered, control=True),
    }


def of_confidence(ordered: Sequence[Evaluation]) -> Table:
    """Table III."""
    numbers = published(ordered[0].dataset)
    theirs = numbers if numbers and numbers.confidence else None
    body = [
        with_label(
            network,
            column_per_cent(network.confidence),
            *([_of_paper(theirs.confidence_of(network))] if theirs else []),
            column_per_cent(network.accuracy),
        )
        for network in models(ordered)
    ]
    return Table(["", "Confidence", *(["The paper"] if theirs else []), "Accuracy"], body, "Confidence")


def _rate(network: Evaluation, output: str) -> Cell | str:
    """A success rate of JSMA with its interval and a bar; a dash where nothing was attacked."""
    attack = network.attack(output)
    if attack is None:
        return DASH
    return Cell(
        column_per_cent(attack.success_rate),
        below=(per_cent_range(attack.success_interval),),
        bar=("fooled", attack.success_rate),
    )


def _of_paper(share: float | None) -> str:
    return DASH if share is None else published_per_cent(share)


def _changed(network: Evaluation, output: str) -> str:
    attack = network.attack(output)
    return DASH if attack is None or attack.mean_changed_features is None else f"{attack.mean_changed_features:.1f}"


def _nearest(network: Evaluation, baseline: Evaluation | None) -> Cell | str:
    nearest = network.distance("cw_l2")
    if nearest is None:
        return DASH
    length, ratio = nearest.average.mean_distance, relative_distance(network, baseline, "cw_l2")
    far = "" if length is None else f"L2 {distance(length)}"
    relative = f"({times(ratio)})" if ratio is not None and network.defended else ""
    return Cell(column_per_cent(nearest.success_rate), below=(far, relative))


def _control_row(network: Evaluation) -> list[str | Cell]:
    return [
        label(network) if network.control else f"distilled, {label(network)}",
        _rate(network, "probabilities"),
        _rate(network, "scaled"),
        column_per_cent(network.gradients_at_1.zero_share_float32),
        f"{network.mean_absolute_logit:.3g}",
        verdict_cell(network),
    ]
