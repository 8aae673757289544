"""Every figure of the sweep with what stands beside it, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.figure import Figure

from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.reporting.figures import adaptive, adaptive_captions, as_in_paper, behind, captions
from defensive_distillation.reporting.figures.drawing import png
from defensive_distillation.reporting.parallel import on_all_cores


@dataclass(frozen=True)
class Exhibit:
    """One figure as the page and the folder show it."""

    name: str  # of the file and of the anchor
    title: str
    draw: Callable[[Sequence[Evaluation]], Figure]
    caption: Callable[[Sequence[Evaluation]], str]
    alt: Callable[[Sequence[Evaluation]], str]


EXHIBITS = (
    Exhibit(
        "figure_7",
        "Success rate of the attack (Figure 7)",
        as_in_paper.figure_7,
        captions.figure_7,
        captions.figure_7_alt,
    ),
    Exhibit("figure_8", "Cost in accuracy (Figure 8)", as_in_paper.figure_8, captions.figure_8, captions.figure_8_alt),
    Exhibit(
        "figure_9",
        "Sensitivity: amplitude of the gradients (Figure 9)",
        as_in_paper.figure_9,
        captions.figure_9,
        captions.figure_9_alt,
    ),
    Exhibit(
        "figure_10", "Robustness (Figure 10, Eq. 10)", as_in_paper.figure_10, captions.figure_10, captions.figure_10_alt
    ),
    Exhibit(
        "success_by_budget",
        "JSMA by budget",
        behind.success_by_budget,
        captions.success_by_budget,
        captions.success_by_budget_alt,
    ),
    Exhibit(
        "success_by_epsilon",
        "Bounded attacks by L∞ radius",
        adaptive.success_by_epsilon,
        adaptive_captions.epsilon,
        adaptive_captions.epsilon_alt,
    ),
    Exhibit(
        "cw_distances",
        "Distance to the nearest adversarial sample",
        adaptive.cw_distances,
        adaptive_captions.distances,
        adaptive_captions.distances_alt,
    ),
    Exhibit(
        "logit_scale",
        "The size of the logits",
        adaptive.logit_scale,
        adaptive_captions.logits,
        adaptive_captions.logits_alt,
    ),
    Exhibit(
        "zero_gradients", "Zero gradients", behind.zero_gradients, captions.zero_gradients, captions.zero_gradients_alt
    ),
    Exhibit(
        "training_accuracy",
        "Training: accuracy",
        partial(behind.training_curves, measure="accuracy"),
        captions.training_accuracy,
        captions.training_accuracy_alt,
    ),
    Exhibit(
        "training_loss",
        "Training: loss",
        partial(behind.training_curves, measure="loss"),
        captions.training_loss,
        captions.training_loss_alt,
    ),
)


def figures_as_png(evaluations: Sequence[Evaluation]) -> dict[str, bytes]:
    """Every figure of the sweep by its name."""
    drawn = on_all_cores(partial(_png, evaluations=evaluations), EXHIBITS)
    return {exhibit.name: content for exhibit, content in zip(EXHIBITS, drawn, strict=True)}


def _png(exhibit: Exhibit, evaluations: Sequence[Evaluation]) -> bytes:
    return png(exhibit.draw(evaluations))
