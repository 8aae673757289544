"""Every figure of the sweep, by name, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.figure import Figure

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting.figures import adaptive, as_in_paper, behind, in_words
from defensive_distillation.reporting.figures.drawing import png
from defensive_distillation.reporting.parallel import on_all_cores


@dataclass(frozen=True)
class Exhibit:
    """One figure as the page and the folder show it."""

    name: str  # of the file and of the anchor
    title: str
    draw: Callable[[Sequence[Evaluation]], Figure]
    alt: Callable[[Sequence[Evaluation]], str]  # its numbers, for who cannot see it


EXHIBITS = (
    Exhibit("figure_7", "Success rate of the attack (Figure 7)", as_in_paper.figure_7, in_words.figure_7),
    Exhibit("figure_8", "Cost in accuracy (Figure 8)", as_in_paper.figure_8, in_words.figure_8),
    Exhibit("figure_9", "Sensitivity: amplitude of the gradients (Figure 9)", as_in_paper.figure_9, in_words.figure_9),
    Exhibit("figure_10", "Robustness (Figure 10, Eq. 10)", as_in_paper.figure_10, in_words.figure_10),
    Exhibit("success_by_budget", "JSMA by budget", behind.success_by_budget, in_words.success_by_budget),
    Exhibit(
        "success_by_epsilon", "Bounded attacks by L∞ radius", adaptive.success_by_epsilon, in_words.success_by_epsilon
    ),
    Exhibit("robust_accuracy", "Robust accuracy by L∞ radius", adaptive.robust_accuracy, in_words.robust_accuracy),
    Exhibit("cw_distances", "Distance to the nearest adversarial sample", adaptive.cw_distances, in_words.cw_distances),
    Exhibit("logit_scale", "The size of the logits", adaptive.logit_scale, in_words.logit_scale),
    Exhibit("zero_gradients", "Zero gradients", behind.zero_gradients, in_words.zero_gradients),
    Exhibit("training_accuracy", "Training: accuracy", behind.training_accuracy, in_words.training_accuracy),
    Exhibit("training_loss", "Training: loss", behind.training_loss, in_words.training_loss),
)


def figures_as_png(evaluations: Sequence[Evaluation]) -> dict[str, bytes]:
    """Every figure of the sweep by its name."""
    drawn = on_all_cores(partial(_png, evaluations=evaluations), EXHIBITS)
    return {exhibit.name: content for exhibit, content in zip(EXHIBITS, drawn, strict=True)}


def _png(exhibit: Exhibit, evaluations: Sequence[Evaluation]) -> bytes:
    return png(exhibit.draw(evaluations))
