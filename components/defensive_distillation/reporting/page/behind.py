"""The page's tables of what stands behind the success rates: zero gradients, why attacks stopped, what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting.page.parts import DASH, Table, with_label
from defensive_distillation.reporting.words import column_per_cent, count, label, per_cent
from defensive_distillation.suite.registry import title

_REASONS = {
    "success": "success",
    "budget": "budget spent",
    "no_pair": "no valid pair",
    "zero_gradient": "zero gradient",
}


def behind_rates(ordered: Sequence[Evaluation]) -> dict[str, Any]:
    """The three tables, or lists of tables; empty where nothing was counted."""
    return {
        "zero": _zero_gradients(ordered),
        "stops": [_stops(list(ran), label(network)) for network in ordered if (ran := tuple(_ran(network)))],
        "costs": _costs(ordered),
    }


def _zero_gradients(ordered: Sequence[Evaluation]) -> Table:
    """Zero gradients at both temperatures and precisions."""
    body = [
        with_label(
            network,
            f"{network.mean_absolute_logit:.3g}",
            *(
                column_per_cent(share)
                for gradients in (network.gradients_at_1, network.gradients_at_temperature)
                for share in (gradients.zero_share_float32, gradients.zero_share_float64)
            ),
        )
        for network in ordered
    ]
    head = ["", "Mean |logit|", "T = 1, float32", "T = 1, float64", "z/T, float32", "z/T, float64"]
    return Table(head, body, "Samples whose gradient is exactly zero")


def _ran(network: Evaluation) -> Iterator[tuple[str, int, Mapping[str, int]]]:
    """Each attack with how many it attacked and why it stopped."""
    yield from ((f"{one.attack}/{one.output}", one.pairs, one.stop_reasons) for one in network.attacks)
    yield from ((one.name, one.sources, one.stop_reasons) for one in network.bounded)
    yield from ((one.attack, one.pairs, one.stop_reasons) for one in network.distances)


def _stops(ran: Sequence[tuple[str, int, Mapping[str, int]]], name: str) -> Table:
    reasons = [*_REASONS, *sorted({reason for _, _, stops in ran for reason in stops if reason not in _REASONS})]
    body = [
        [
            title(attack),
            count(number),
            *(per_cent(stops[reason] / max(1, number)) if stops.get(reason) else DASH for reason in reasons),
        ]
        for attack, number, stops in ran
    ]
    return Table(["", "Attacked", *(_REASONS.get(reason, reason.replace("_", " ")) for reason in reasons)], body, name)


def _costs(ordered: Sequence[Evaluation]) -> Table | None:
    """Gradient evaluations, as far as they were counted."""
    spent: list[tuple[Evaluation, dict[str, float]]] = [
        (
            network,
            {one.name: one.gradient_evaluations for one in network.bounded}
            | {one.attack: one.gradient_evaluations for one in network.distances},
        )
        for network in ordered
    ]
    names = list(dict.fromkeys(name for _, numbers in spent for name, number in numbers.items() if number))
    if not names:
        return None
    body = [
        with_label(network, *(_evaluations(numbers.get(name)) for name in names))
        for network, numbers in spent
        if numbers
    ]
    return Table(["", *map(title, names)], body, "Gradient evaluations, mean a sample and radius or a pair")


def _evaluations(number: float | None) -> str:
    return DASH if number is None else f"{number:,.0f}" if number >= 10 else f"{number:.1f}"
