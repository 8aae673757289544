"""What a reader sees who reads only the first screen: the paper's number is real, and the defense does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting import words
from defensive_distillation.reporting.findings.headline import headline
from defensive_distillation.reporting.findings.images import few_images
from defensive_distillation.reporting.findings.terms import introduction, terms
from defensive_distillation.reporting.findings.verdicts import attacked
from defensive_distillation.reporting.measures import relative_distance, reported_radius, robust_within
from defensive_distillation.reporting.networks import chosen, defended, undistilled
from defensive_distillation.reporting.paper import published
from defensive_distillation.reporting.words import MASKED, counted, label, per_cent, published_per_cent, times

Line = tuple[str, str]  # a number and what it counts
NAIVE, ADAPTIVE = "As in the paper", "As an adaptive attacker sees it"


def first_screen(ordered: Sequence[Evaluation]) -> dict[str, Any]:
    """What stands below and above the title: headline, the two sides, the verdicts."""
    badges = [(label(network), network.masking.masked, MASKED[network.masking.masked]) for network in defended(ordered)]
    return {
        "introduction": introduction(ordered),
        "headline": headline(ordered),
        "sides": _sides(ordered),
        "badges": badges,
        "few": few_images(ordered),
        "terms": terms(ordered),
    }


def _sides(ordered: Sequence[Evaluation]) -> list[tuple[str, str, list[Line]]]:
    """The same network twice: what the paper's attack says of it, and what one says that knows the defense."""
    network, baseline = chosen(ordered), undistilled(ordered)
    if network is None:
        return []
    left, right = _as_in_the_paper(network, baseline), _as_adaptive(network, baseline)
    return [(NAIVE, "naive", left), (ADAPTIVE, "adaptive", right)] if left or right else []


def _as_in_the_paper(network: Evaluation, baseline: Evaluation | None) -> list[Line]:
    plain, before = attacked(network, "probabilities"), attacked(baseline, "probabilities")
    if plain is None:
        return []
    beside = f" ({per_cent(baseline.accuracy)} without distillation)" if baseline else ""
    numbers = published(network.dataset)
    theirs = numbers.success_of(network) if numbers else None
    of_paper = f" – the paper: {published_per_cent(theirs)}" if theirs is not None else ""
    fooled = f"of {counted(plain.pairs, 'pair')} fooled at {label(network)} by JSMA on probabilities{of_paper}"
    lines = [(per_cent(plain.success_rate), fooled)]
    if before:
        of_paper = f" – the paper: {published_per_cent(numbers.baseline_success)}" if numbers else ""
        lines.append((per_cent(before.success_rate), f"without distillation{of_paper}"))
    return [*lines, (per_cent(network.accuracy), f"accuracy at {label(network)}{beside}")]


def _as_adaptive(network: Evaluation, baseline: Evaluation | None) -> list[Line]:
    scaled, nearest = attacked(network, "scaled"), network.distance("cw_l2")
    lines = []
    if scaled:
        fooled = f"of {counted(scaled.pairs, 'pair')} fooled at {label(network)} by JSMA on z/T"
        lines.append((per_cent(scaled.success_rate), fooled))
    if nearest and nearest.pairs:
        ratio = relative_distance(network, baseline, "cw_l2")
        far = f", at {times(ratio)} the distance it takes without distillation" if ratio is not None else ""
        lines.append((per_cent(nearest.success_rate), f"by Carlini and Wagner's L2 attack{far}"))
    radius = reported_radius(network)
    if radius is not None and (robust := robust_within(network, radius)):
        before = robust_within(baseline, radius) if baseline else None
        beside = f" ({per_cent(before[0])} without distillation)" if before else ""
        within = f"robust accuracy at {label(network)} within ε = {words.radius(radius)}, whatever the attack{beside}"
        lines.append((per_cent(robust[0]), within))
    return lines
