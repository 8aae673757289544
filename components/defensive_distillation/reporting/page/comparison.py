"""The page's table of all defenses side by side."""

from __future__ import annotations

from collections.abc import Sequence

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting import attacks
from defensive_distillation.reporting.measures import mean_distance
from defensive_distillation.reporting.networks import models, others
from defensive_distillation.reporting.page.parts import DASH, Cell, Table, robust_cell, verdict_cell, with_label
from defensive_distillation.reporting.words import column_per_cent, count, distance, per_cent_range, radius
from defensive_distillation.suite.registry import title

_JSMA = {"probabilities": "JSMA on probabilities", "logits": "JSMA on logits", "scaled": "JSMA on z/T"}


def of_defenses(ordered: Sequence[Evaluation]) -> Table | None:
    """Every network by all that is measured of it; None in a sweep of distillation alone, which other tables show."""
    if not others(ordered):
        return None
    networks = models(ordered)
    radii = sorted({epsilon for network in networks for epsilon in _radii(network)})
    nearest = [name for name in attacks.CARLINI_WAGNER if any(network.distance(name) for network in networks)]
    outputs = [output for output in _JSMA if any(network.attack(output) for network in networks)]
    body = [
        with_label(
            network,
            column_per_cent(network.accuracy),
            *(robust_cell(network, epsilon) for epsilon in radii),
            *(_fooled(network, output) for output in outputs),
            *(_distance(network, name) for name in nearest),
            verdict_cell(network),
            DASH if network.training_passes is None else count(network.training_passes),
        )
        for network in networks
    ]
    head = ["", "Accuracy", *(f"Robust, ε = {radius(epsilon)}" for epsilon in radii), *map(_JSMA.__getitem__, outputs)]
    return Table([*head, *map(title, nearest), "Gradients", "Passes"], body, "Defenses side by side", "wide defenses")


def _radii(network: Evaluation) -> tuple[float, ...]:
    """The L∞ radii that bound anything; within 1 lies every image."""
    return tuple(epsilon for epsilon in network.robust.epsilons if epsilon < 1) if network.robust else ()


def _fooled(network: Evaluation, output: str) -> Cell | str:
    attack = network.attack(output)
    if attack is None:
        return DASH
    return Cell(column_per_cent(attack.success_rate), below=(per_cent_range(attack.success_interval),))


def _distance(network: Evaluation, attack: str) -> Cell | str:
    found, length = network.distance(attack), mean_distance(network, attack)
    if found is None or length is None:
        return DASH
    return Cell(distance(length), below=(f"fooled {column_per_cent(found.success_rate)}",))
