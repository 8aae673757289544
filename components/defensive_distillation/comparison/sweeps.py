"""Two sweeps, network by network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from defensive_distillation.artifacts.evaluation import Measured
from defensive_distillation.comparison import measures
from defensive_distillation.comparison.change import MEASURES, Change, Measure
from defensive_distillation.model_id import Role

_OF_MEASURE: dict[Measure, Callable[[Measured, Measured], Iterator[Change]]] = {
    "accuracy": measures.accuracy,
    "robust_accuracy": measures.robust_accuracy,
    "jsma_success": measures.jsma_success,
    "distance": measures.distances,
    "masked": measures.masked,
}


def changes(
    before: Sequence[Measured],
    after: Sequence[Measured],
    *,
    roles: Sequence[Role] = ("baseline", "defended", "control"),
    compared: Sequence[Measure] = MEASURES,
) -> list[Change]:
    """Every measure of every network, the baseline first.

    Args:
        before: the networks of the reference.
        after: the networks of the other sweep.
        roles: of the networks that are compared.
        compared: the measures.
    """
    first, second = ({one.name: one for one in several} for several in (before, after))
    together = sorted({**first, **second}.values(), key=lambda one: one.evaluation.model.order)
    found: list[Change] = []
    for network in together:
        if network.evaluation.model.role not in roles:
            continue
        if network.name in first and network.name in second:
            for measure in compared:
                found += _OF_MEASURE[measure](first[network.name], second[network.name])
        else:
            found.append(_alone(network, compared[0], lost=network.name in first))
    return found


def _alone(network: Measured, measure: Measure, *, lost: bool) -> Change:
    """A network of one sweep: a single line, whatever is compared."""
    value = network.evaluation.accuracy if measure == "accuracy" else None
    return Change(
        network=network.name,
        title=network.evaluation.model.title,
        measure=measure,
        of="",
        before=value if lost else None,
        after=None if lost else value,
        direction="incomparable",
        note=f"the network was evaluated {'before' if lost else 'after'} only",
        lost=lost,
    )
