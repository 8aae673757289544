"""What stands behind the success rates: zero gradients, the training, JSMA's success by budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from defensive_distillation.evaluation.results import Epoch, Evaluation
from defensive_distillation.reporting.figures.axes import NetworkAxis, draw_by_network
from defensive_distillation.reporting.figures.drawing import (
    Mark,
    figure,
    handle,
    legend,
    look,
    message,
    name_panel,
    panel_figure,
    style,
)
from defensive_distillation.reporting.figures.marks import ADAPTIVE, DODGE, MARKS, NAIVE
from defensive_distillation.reporting.networks import is_distilled, models, others
from defensive_distillation.reporting.words import label

_TEACHER = Mark("hard labels: teacher, no distillation", "#0072b2", "", "--")
_STUDENT = Mark("soft labels: distilled network", "#d55e00", "")
_OTHER = Mark("another defense", "#0072b2", "", ":")


def zero_gradients(evaluations: Sequence[Evaluation]) -> Figure:
    """Share of samples with a gradient of exactly zero, against temperature."""
    if not models(evaluations):
        return message("No model was evaluated.")
    with style():
        drawn = figure(3.8)
        axes = drawn.subplots()
        where = NetworkAxis(evaluations)
        marks: tuple[tuple[Mark, Callable[[Evaluation], float]], ...] = (
            (Mark("float32, T = 1", NAIVE, "o"), lambda network: network.gradients_at_1.zero_share_float32),
            (Mark("float64, T = 1", "#0072b2", "s", "--"), lambda network: network.gradients_at_1.zero_share_float64),
            (
                Mark("float32, softmax of z/T", ADAPTIVE, "^"),
                lambda network: network.gradients_at_temperature.zero_share_float32,
            ),
        )
        for (mark, value), shift in zip(marks, DODGE.values(), strict=True):
            draw_by_network(axes, where, mark, [100 * value(network) for network in where.models], shift=shift)
        axes.set_ylim(-4, 104)
        axes.set_ylabel("Samples with a\nzero gradient, %")
        where.apply(axes)
        legend(drawn, [handle(mark) for mark, _ in marks])
    return drawn


def training_loss(evaluations: Sequence[Evaluation]) -> Figure:
    """Loss by epoch of teacher and student, one panel a model."""
    return _training(evaluations, "loss")


def training_accuracy(evaluations: Sequence[Evaluation]) -> Figure:
    """Test accuracy by epoch of teacher and student, one panel a model."""
    return _training(evaluations, "accuracy")


def _training(evaluations: Sequence[Evaluation], measure: Literal["loss", "accuracy"]) -> Figure:
    networks = [network for network in models(evaluations) if network.training]
    if not networks:
        return message("No training was recorded.")

    def value(epoch: Epoch) -> float:
        return epoch.loss if measure == "loss" else 100 * epoch.test_accuracy

    with style():
        drawn, panels = panel_figure(len(networks), shared=measure == "accuracy")
        for axes, network in zip(panels, networks, strict=True):
            for mark, epochs in _curves(network):
                dot = {"marker": "o"} if len(epochs) == 1 else {}
                axes.plot([epoch.epoch for epoch in epochs], [value(epoch) for epoch in epochs], **look(mark) | dot)
            name_panel(axes, label(network))
            axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
            if measure == "loss":
                axes.set_ylim(bottom=0)
        drawn.supxlabel("Epoch", fontsize=12)
        drawn.supylabel("Loss" if measure == "loss" else "Accuracy on test images, %", fontsize=12)
        marks = (_TEACHER, _STUDENT, *([_OTHER] if others(networks) else []))
        legend(drawn, [handle(mark) for mark in marks], columns=1)
    return drawn


def success_by_budget(evaluations: Sequence[Evaluation]) -> Figure:
    """Success rate against the number of features that may change, one panel a model."""
    networks = [network for network in models(evaluations) if any(attack.budgets for attack in network.jsma)]
    if not networks:
        return message("No attack was run.")
    with style():
        drawn, panels = panel_figure(len(networks), shared=True)
        shown = [output for output in MARKS if any(network.attack(output) for network in networks)]
        for axes, network in zip(panels, networks, strict=True):
            for output in shown:
                attack = network.attack(output)
                if attack:
                    every = (1 + 2 * list(MARKS).index(output), 6) if len(attack.budgets) > 12 else None
                    rates = [100 * share for share in attack.success_by_budget]
                    axes.plot(attack.budgets, rates, markersize=5, markevery=every, **look(MARKS[output]))
            name_panel(axes, label(network))
            axes.set_ylim(-4, 104)
        drawn.supxlabel("Budget: features that may change", fontsize=12)
        drawn.supylabel("JSMA success, %", fontsize=12)
        legend(drawn, [handle(MARKS[output]) for output in shown], columns=1)
    return drawn


def _curves(network: Evaluation) -> Iterator[tuple[Mark, Sequence[Epoch]]]:
    if is_distilled(network):
        yield _STUDENT, network.training
        yield _TEACHER, network.teacher_training
    else:
        yield _OTHER if network.defended else _TEACHER, network.training
