"""How many images a network classifies right whatever any attack does to them within a radius."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from defensive_distillation.evaluation.intervals import wilson_interval
from defensive_distillation.evaluation.outcome import Outcome, common_sources
from defensive_distillation.evaluation.results import ROUNDING, RobustAccuracy


@dataclass(frozen=True)
class NearestErrors:
    """How far the nearest known error of the network lies from each of some test images.

    The images are those that every attack within balls was given. An error is the image itself where it is classified
    wrong (distance 0), or a misclassified sample of any attack; where none is known the distance is infinite. So it is
    an upper bound of the true distance, and the robust accuracy one of the true one.
    """

    source_index: Tensor  # (S,) int64 into the test images, ascending
    linf: Tensor  # (S,) float64
    epsilons: tuple[float, ...]  # radii of the attacks within balls, rising


def nearest_errors(correct: Tensor, outcomes: Sequence[Outcome]) -> NearestErrors | None:
    """The nearest known errors; None where no attack within balls was run.

    Args:
        correct: (N,) bool, whether each test image is classified right.
        outcomes: of all attacks.
    """
    balls = [outcome for outcome in outcomes if outcome.attack.family == "ball"]
    sources = common_sources(balls)
    if not len(sources):
        return None
    found = [nearest(outcome, outcome.samples.linf.double(), sources) for outcome in outcomes]
    linf = torch.where(correct[sources], torch.stack(found).amin(0), 0.0)
    return NearestErrors(sources, linf, tuple(sorted({level for ball in balls for level in ball.levels})))


def robust_accuracy(errors: NearestErrors) -> RobustAccuracy:
    """The share of the images without a known error within each radius, with its interval."""
    count, misclassified = len(errors.source_index), int((errors.linf == 0).sum())
    right = [int((errors.linf > epsilon + ROUNDING).sum()) for epsilon in errors.epsilons]
    return RobustAccuracy(
        samples=count,
        misclassified=misclassified,
        epsilons=errors.epsilons,
        right=tuple(right),
        fooled=tuple(count - misclassified - number for number in right),
        accuracy=tuple(number / count for number in right),
        intervals=tuple(wilson_interval(number, count) for number in right),
    )


def nearest(outcome: Outcome, distance: Tensor, sources: Tensor) -> Tensor:
    """The smallest of `distance` (P,) over the successes on each source (S,); infinite without any."""
    place = torch.searchsorted(sources, outcome.samples.source_index).clamp(max=len(sources) - 1)
    counted = outcome.samples.success & (sources[place] == outcome.samples.source_index)
    smallest = torch.full((len(sources),), torch.inf, dtype=torch.float64)
    return smallest.scatter_reduce(0, place[counted], distance[counted], "amin")
